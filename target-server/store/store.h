// Store: packs, restore points and domain keys in one directory; everything else in it can be rebuilt.
//
//   vmferry-store.toml      format version, store UUID                      (written once)
//   domains/UUID/domain     key, chunking parameters, gear seed; copies beside it: domain.copy1, and in every pack's
//                           header enough to know the domain (not the key)
//   packs/XX/UUID.pack      sealed, immutable                                (object seam)
//   journal/UUID.pack       the open pack: append, sync; torn tail cut off   (journal seam)
//   points/CLIENT/MACHINE/NNNNNNNN-UUID.point    immutable                   (object seam)
//   machines/CLIENT/MACHINE next number                                      (rebuildable from points)
//   index.sqlite            chunk id -> pack, frame offset; chunks found lost (rebuildable from packs; by reading)
//   points.sqlite           summaries of points                              (rebuildable from points)
//   epoch, points.lock      which writer is the newest; held while points are added or removed
//   pins/CLIENT/MACHINE     a backup that began and was not committed: what arrived of it is kept
//   leases/SESSION          flock'ed by a live session: the points it uses as bases
//   lock                    flock: one writing process
//
// Order of durability: frames appended to the journal -> sync() -> index rows; a point is written only after sync()
// returned for every chunk it names. A crash at any instant loses at most unsynced frames.
//
// Thread-safe. Writers: one process at a time (Error{busy} names the holder's pid). Readers need no lock, and may
// run beside a writer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/chunk_source.h"
#include "protocol/chunker.h"
#include "protocol/frame.h"
#include "protocol/point.h"

namespace vmferry::store {

struct DomainFacts {
  Uuid uuid;
  DomainKey key;
  ChunkingParameters chunking;
};

struct StoreOptions {
  bool writable = true;
  double reserve_fraction = 0.02;                // of the file system: backups stop, maintenance does not
  std::uint64_t pack_bytes_target = 256ULL << 20;
  unsigned pin_days = 30;                        // what an unfinished backup sent is kept so long after each try; 0: not
  std::string socket{};                          // where this process serves: told to whom it keeps waiting
};

// A point file that cannot be read. It is listed, so that nobody takes it for deleted.
struct DamagedPoint {
  std::string file;    // below the store's directory
  Uuid uuid;           // as its name says
  std::uint64_t number = 0;
  std::string reason;
};

// A backup that began and was not committed (pins.h). Unix seconds.
struct Pin {
  Uuid client, machine;
  std::string machine_name;
  std::int64_t since = 0;  // its first try
  std::int64_t until = 0;  // nobody needs to keep what it sent after that
};

struct StoreStatus {
  Uuid uuid;
  std::uint64_t machines = 0, points = 0, packs = 0, chunks = 0;
  std::uint64_t stored_bytes = 0;                // packs and journal
  std::uint64_t lost_chunks = 0;                 // found damaged or gone, and not come again
  std::uint64_t available_bytes = 0, reserve_bytes = 0, file_system_bytes = 0;
  std::optional<std::int64_t> writer_pid;
};

// Where a stored frame lies: enough to read it with one pread.
struct FrameLocation {
  Uuid pack;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  auto operator<=>(const FrameLocation&) const = default;
};

class Store {
 public:
  // Error{exists} where DIR is a store already or not empty.
  static void init(const std::filesystem::path& directory, const ChunkingParameters& chunking = {});
  // A store that joins a domain: points can be copied between it and the domain's other stores.
  static void init(const std::filesystem::path& directory, const DomainFacts& domain);
  // Recovers: cuts torn tails, brings the index up to date with packs and journal. Error{not_found}: no store there
  // (never creates one); Error{version}; Error{busy}; Error{permission}; Error{damaged}.
  static std::unique_ptr<Store> open(const std::filesystem::path& directory, const StoreOptions& options = {});
  virtual ~Store() = default;

  virtual const Uuid& uuid() const noexcept = 0;
  virtual const DomainFacts& domain() const noexcept = 0;  // the one domain, until clients have their own

  // --- chunks
  // bit i: ids[i] is stored durably, or appended and not yet synced by this process (sync() before a commit relies on
  // it).
  virtual std::vector<bool> contains(std::span<const ChunkId> ids) = 0;
  // Appends a frame whose chunks the caller has verified. Returns the bytes it took; 0 where all of its chunks were
  // there. Error{no_space} below the reserve.
  virtual std::uint64_t append(const FrameView& frame) = 0;
  virtual void sync() = 0;  // durable, and indexed, when it returns
  // The frames that hold these ids, grouped: each location once, in the store's order, with the asked-for ids in it.
  // Missing ids go to `missing`.
  struct Located {
    FrameLocation frame;
    std::vector<ChunkId> ids;
  };
  virtual std::vector<Located> locate(std::span<const ChunkId> ids, std::vector<ChunkId>& missing) = 0;
  // The stored frame, checksum checked (Error{damaged}).
  virtual Bytes read_frame(const FrameLocation& location) = 0;
  // Reads these chunks again. Those that cannot be read back are missing from now on, durably: contains() says no, and
  // the next backup that has them sends them. Where a whole frame is damaged, so are all the chunks in it (which the
  // pack's table tells: where that is damaged too, only the ones asked for). named_by_point: a committed point names them, so those that have no place
  // at all are counted as lost too. Where the store is open for
  // reading only, nothing is done but for named_by_point, if this process can write there and nobody else does.
  virtual void recheck(std::span<const ChunkId> ids, bool named_by_point) = 0;
  // Some chunk that a point may reach is lost, and has not come again: no point may be built on unseen.
  virtual bool any_lost() const = 0;
  // Which, sorted: at most ids_max of them.
  virtual std::vector<ChunkId> lost(std::size_t ids_max) = 0;
  // Verified content, with a small cache of decoded frames: for commit checks and verify.
  virtual std::unique_ptr<ChunkSource> chunk_source() = 0;

  // --- points
  virtual std::vector<PointSummary> points() = 0;
  virtual std::vector<DamagedPoint> damaged_points() = 0;
  virtual RestorePoint point(const Uuid& uuid) = 0;  // Error{not_found}, Error{damaged}
  virtual Bytes encoded_point(const Uuid& uuid) = 0;  // the same, as it is stored
  // Numbers, stamps (arrived_ms) and stores a point durably. The caller has checked that all it names is there.
  virtual RestorePoint add_point(RestorePoint point) = 0;
  // Stores a point of another store of the domain durably, byte for byte, with its number and its time of arrival; the
  // machine's next number is past it. False where it is there already. Error{refused}: another point has its number or
  // its id. The caller has checked that all it names is there.
  virtual bool add_replica_point(ByteView encoded) = 0;
  // Refuses (Error{busy}) while a session leases it. dry_run: only checks. Numbers are never reused.
  virtual void remove_point(const Uuid& uuid, bool dry_run) = 0;

  // --- sessions
  // Holds the machine for one backup (Error{busy}), and leases base points, until the lease dies.
  class Lease {
   public:
    virtual ~Lease() = default;
    virtual const Uuid& session() const noexcept = 0;
  };
  virtual std::unique_ptr<Lease> lease(const Uuid& client, const Uuid& machine, std::span<const Uuid> base_points) = 0;

  // A backup begins, or is tried again: what arrives of it is to be kept. The caller holds the machine's lease.
  virtual void pin(const Uuid& client, const Uuid& machine, const std::string& machine_name) = 0;
  // It was committed. What goes wrong here only keeps more than need be, for a time.
  virtual void unpin(const Uuid& client, const Uuid& machine) noexcept = 0;
  virtual std::vector<Pin> pins() = 0;

  virtual StoreStatus status() = 0;
  // What open() found and did that a person should know: damage found, copies healed, an index rebuilt.
  virtual const std::vector<Warning>& notes() const noexcept = 0;
  // Seals the open pack where it is at least min_bytes long.
  virtual void seal(std::uint64_t min_bytes) = 0;
};

// The domain's key and parameters as text to print and keep elsewhere (`key export`), and back.
std::string export_domain(const DomainFacts& domain);
DomainFacts import_domain(std::string_view text);

}  // namespace vmferry::store
