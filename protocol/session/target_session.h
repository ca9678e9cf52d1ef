// TargetSession: a session with a target, as the engine sees it. The wire is docs/format/wire.md. All calls may
// come from any thread; calls that wait for an answer block their thread only. After Error{unreachable} every
// call throws it again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/chunk_source.h"
#include "protocol/chunker.h"
#include "protocol/delta_request.h"
#include "protocol/frame.h"
#include "protocol/point.h"
#include "protocol/transport/transport.h"

namespace vmferry::target {

// What the handshake tells.
struct TargetFacts {
  Uuid store_uuid;
  Uuid domain_uuid;
  DomainKey domain_key;
  ChunkingParameters chunking;
  std::string software;
  std::uint64_t features = 0;  // that both have (protocol/wire.h)
};

enum class ClientRole { controller, replica };

struct ClientFacts {
  Uuid uuid;
  std::string name;  // host name
  ClientRole role = ClientRole::controller;
};

struct BackupOpening {
  Uuid machine_uuid;
  std::string machine_name;
  std::vector<Uuid> disk_uuids;      // none where made up and not remembered
  bool adopt = false;
  std::vector<Uuid> base_candidates;  // points that the catalog knows, newest first; the target may add its own

  bool operator==(const BackupOpening&) const = default;
};

struct BackupOpened {
  Uuid session;
  std::vector<RestorePoint> bases;   // leased until the session ends: this machine's newest committed point first
};

// The answer to one offer: bit i says that ids[i] is missing and wanted.
using WantBitmap = std::vector<bool>;

struct CommitResult {
  bool committed = false;
  RestorePoint point;                // as stored: number and arrival filled in
  std::vector<ChunkId> missing;      // not empty: not committed; some of what the target lacks
  std::uint64_t stored_bytes = 0;    // that this session added to the store
  std::uint64_t deltas = 0, delta_chunks = 0;  // that came, and the chunks that the target rebuilt from them
  std::uint64_t whole_again = 0;     // chunks that it could not rebuild and asked for whole
};

// What a store that copies points to this one says before it does.
struct ReplicaOpening {
  Uuid client_uuid, machine_uuid;     // whose points
  std::vector<Uuid> base_candidates;  // points that both stores have
};

struct ReplicaOpened {
  Uuid session;
  std::vector<Uuid> bases;            // leased until close_backup(), or the session's end
};

struct ReplicaCommit {
  bool committed = false;
  std::vector<ChunkId> missing;       // not empty: not committed; some of what the target lacks
  std::uint64_t stored_bytes = 0;     // that was added to the store since open_replica()
};

struct VerifyResult {
  std::uint64_t chunks = 0, bytes = 0;
  std::vector<std::string> damage;   // at most 1000 sentences; empty: all of the point is right
};

class TargetSession {
 public:
  using Progress = std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)>;

  // A sentence for a person while a call waits ("3 backups are before this one"), on that call's thread.
  using Note = std::function<void(const std::string& sentence)>;
  // Does the handshake. Throws Error{unreachable}, Error{version}. early: a backup that is going to be opened, asked for with
  // the handshake, which saves a round trip: open_backup() takes the answer where it is asked for the same.
  static std::unique_ptr<TargetSession> open(std::unique_ptr<Transport> transport, const ClientFacts& client,
                                             Note note = {}, const std::optional<BackupOpening>& early = {});
  virtual ~TargetSession() = default;

  virtual const TargetFacts& facts() const noexcept = 0;
  virtual TransportCounts counts() const noexcept = 0;

  // --- backup: one at a time per session
  // Throws Error{busy}: this machine is being backed up by another session; Error{refused}: the name belongs to
  // another machine and adopt is not set; Error{no_space}: less than the reserve is left.
  virtual BackupOpened open_backup(const BackupOpening& opening) = 0;
  // Sends an offer and returns at once; `answered` is called with the bitmap on the session's receiving thread
  // (keep it short, do not call the session from it). Bounded in flight: blocks when too many are unanswered.
  // At most limits::offer_ids_max ids. Where the session ends first, `answered` is called with an empty bitmap, so
  // that nobody waits for ever: the next call throws why.
  virtual void offer(std::vector<ChunkId> ids, std::function<void(WantBitmap)> answered) = 0;
  // Queues one whole frame (protocol/frame.h). Blocks for back pressure. The target checks every id.
  virtual void send_frame(ByteView frame) = 0;
  // Where the target takes deltas (an older one does not): queues one delta frame (protocol/delta/delta_frame.h).
  // Blocks for back pressure, and while too many are unanswered. `answered` is called once on the session's receiving
  // thread (keep it short, do not call the session from it) with the ids of those of its chunks that the target could
  // not rebuild: send them whole (in the order of their ids). nullopt: the session ended first; the next call throws
  // why. Not called at all where send_delta() itself throws.
  virtual bool takes_deltas() const noexcept = 0;
  using DeltaAnswered = std::function<void(std::optional<std::vector<ChunkId>> whole)>;
  virtual void send_delta(ByteView delta_frame, DeltaAnswered answered) = 0;
  // The target makes everything durable, checks that all is there, numbers and stores the point.
  virtual CommitResult commit(const RestorePoint& point) = 0;
  virtual void close_backup() = 0;  // ends it without a commit; what arrived stays in the store

  // --- replication: instead of a backup, with the role of a replica and a target that has the feature
  virtual bool takes_replicas() const noexcept = 0;
  // Then offer(), send_frame() and send_delta() as in a backup; commit_replica() for each point, in any number: each
  // that was committed is a base from then on; close_backup() in the end.
  // Throws Error{busy}: this machine has another session; Error{refused}: not with this client's role.
  virtual ReplicaOpened open_replica(const ReplicaOpening& opening) = 0;
  // The point byte for byte as another store has it. Error{refused}: another point has its number, or its id; where
  // it is there already, it counts as committed.
  virtual ReplicaCommit commit_replica(ByteView encoded_point) = 0;

  // --- reading
  virtual std::vector<PointSummary> points() = 0;         // all that this client may see, by machine and number
  virtual RestorePoint point(const Uuid& uuid) = 0;       // Error{not_found}
  virtual Bytes encoded_point(const Uuid& uuid) = 0;      // the same as it is stored, if the target takes replicas
  // Verified chunks. Requests for many ids are split and pipelined.
  virtual ChunkSource& chunks() = 0;
  // Asks for chunks ahead of need: frames come back in any order and `use` is called for each verified chunk on the
  // session's receiving thread. Returns at once unless as many requests as may be are under way.
  // (ChunkSource::get of chunks() is built on the same.) `done` is called once, with null or what went wrong, unless
  // fetch() itself throws. A missing or broken chunk is Error{damaged}.
  virtual void fetch(std::vector<ChunkId> ids, std::function<void(const ChunkId&, ByteView)> use,
                     std::function<void(std::exception_ptr)> done) = 0;
  // The same, but `use` gets each stored frame whole, with the indices of those of its chunks that were asked for and
  // have not come before. Its checksum was checked, its content was not.
  using UseFrame = std::function<void(const FrameView& frame, std::span<const std::size_t> wanted)>;
  virtual void fetch_frames(std::vector<ChunkId> ids, UseFrame use, std::function<void(std::exception_ptr)> done) = 0;
  // From a target that takes replicas: the chunks as deltas against their bases, which lie there too, where that pays
  // (`use_delta`: a delta frame, protocol/delta/delta_frame.h), else as fetch_frames() gives them.
  using UseDelta = std::function<void(ByteView delta_frame)>;
  virtual void fetch_deltas(std::vector<wire::ChunkWithBasis> chunks, UseDelta use_delta, UseFrame use,
                            std::function<void(std::exception_ptr)> done) = 0;
  // The target reads and checks all of it. What `progress` throws stops it there too.
  virtual VerifyResult verify(const Uuid& point, const Progress& progress) = 0;
};

}  // namespace vmferry::target
