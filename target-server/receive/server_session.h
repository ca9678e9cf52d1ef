// ServerSession: the target's half of one session after the handshake: a backup (offers, frames, commit) on the
// receiving thread, with workers that verify frames and rebuild deltas; reading beside it (serve/read_requests.h).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "protocol/control.h"
#include "protocol/messages.pb.h"
#include "protocol/wire.h"
#include "target-server/receive/frame_intake.h"
#include "target-server/receive/last_words.h"
#include "target-server/receive/serve_session.h"
#include "target-server/serve/read_requests.h"

namespace vmferry::target_server {

// What the handshake told.
struct Peer {
  Uuid client_uuid;
  std::uint64_t features = 0;  // that both have
  access::Access access;       // what it may do
  bool is_replica = false;     // says that it brings points of any client, as another store has them
};

class ServerSession {
 public:
  ServerSession(Transport& transport, wire::PacketWriter& writer, wire::PacketReader& reader, LastWords& last_words,
                store::Store& store, const Peer& peer, const ServeOptions& options);
  ~ServerSession();

  // Until the peer's clean end. Throws what ends the session.
  void run();

 private:
  // What lasts from open_backup to the commit, or to close_backup.
  struct Backup {
    Backup(store::Store& store, const IntakeLimits& limits, IntakeEvents events)
        : intake(store, limits, std::move(events)) {}

    Turnstile::Turn turn;
    std::unique_ptr<store::Store::Lease> lease;
    Uuid machine_uuid;
    std::string machine_name;
    std::vector<RestorePoint> bases;
    std::vector<ChunkId> lost_at_open;  // no base reaches them
    FrameIntake intake;
    std::optional<std::pair<std::uint64_t, RestorePoint>> to_commit;  // its request, and the point that came for it
    wire::PointAssembly assembly;
    std::optional<Uuid> replica_of;  // a replica's, of this client's points (receive/replica_session.cc)
    Bytes replica_to_commit;         // the point to commit as it came
  };

  void on_packet(const wire::Packet& packet);
  void on_control(const messages::Control& control);
  void on_offer(ByteView payload);
  void on_delta(ByteView payload);
  void on_point_piece(const messages::Control& control);
  void open_backup(const messages::Control& question);
  void commit(std::uint64_t request);
  void close_backup(std::uint64_t request);
  void open_replica(const messages::Control& question);
  void commit_replica(std::uint64_t request);
  void drop_bases_that_lost();
  // All that the point reaches, on the disk. Fills in what an answer to a commit says either way.
  bool all_is_there(const RestorePoint& point, messages::Committed& committed);
  void keep_what_arrived() noexcept;
  Backup& backup();
  bool both_have(std::uint64_t feature) const noexcept { return (peer_.features & feature) != 0; }
  Turnstile::Turn wait_for_turn(std::uint64_t request);
  IntakeEvents intake_events();
  IntakeLimits intake_limits() const;

  wire::PacketWriter& writer_;
  wire::PacketReader& reader_;
  LastWords& last_words_;
  store::Store& store_;
  const Peer peer_;
  const bool may_replicate_;
  const ServeOptions options_;
  std::unique_ptr<Backup> backup_;
  ReadRequests reading_;
};

}  // namespace vmferry::target_server
