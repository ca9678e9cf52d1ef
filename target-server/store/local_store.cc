#include "target-server/store/local_store.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/now.h"
#include "target-server/store/decoded_frames.h"
#include "target-server/store/leases.h"
#include "target-server/store/pins.h"
#include "target-server/store/store_chunk_source.h"

namespace vmferry::store {
namespace {

// What is kept in memory until a sync: beyond it append() syncs by itself.
constexpr std::uint64_t pending_bytes_max = 64 * limits::MiB;
constexpr std::size_t pending_ids_max = 100'000;
constexpr std::uint64_t space_check_interval_bytes = 16 * limits::MiB;
constexpr std::uint64_t open_pack_chunks_max = 1u << 18;  // 12 MiB of memory for its table

struct Space {
  std::uint64_t total = 0, available = 0;
};
Space space_of(const std::filesystem::path& directory) {
  struct statvfs facts {};
  if (::statvfs(directory.c_str(), &facts) != 0) throw system_error(errno, "cannot ask for the free space", directory);
  return {static_cast<std::uint64_t>(facts.f_blocks) * facts.f_frsize,
          static_cast<std::uint64_t>(facts.f_bavail) * facts.f_frsize};
}

std::uint64_t reserve_of(const Space& space, double fraction) {
  return static_cast<std::uint64_t>(static_cast<double>(space.total) * std::clamp(fraction, 0.0, 1.0));
}

std::string name_of(const FrameLocation& location) {
  return "pack " + location.pack.to_string() + " at " + std::to_string(location.offset);
}

}  // namespace

void LocalStore::throw_unless_writable() const {
  if (!options_.writable) throw Error(ErrorCode::refused, "the store was opened for reading only", place_.directory);
}

void LocalStore::throw_if_failed() const {
  if (!failure_.empty())
    throw Error(ErrorCode::failed, "the store's journal failed", place_.journal(), failure_ + "; open the store again");
}

void LocalStore::check_reserve(std::uint64_t more_bytes) {
  const Space space = space_of(place_.directory);
  const std::uint64_t reserve = reserve_of(space, options_.reserve_fraction);
  if (space.available < reserve || space.available - reserve < more_bytes)
    throw Error(ErrorCode::no_space, "the store's disk is full", place_.directory,
                std::to_string(space.available / limits::MiB) + " MiB are free, " +
                    std::to_string(reserve / limits::MiB) +
                    " MiB are kept in reserve; delete restore points or add space");
}

// --- chunks

std::optional<LocalStore::PendingPlace> LocalStore::pending_place(const ChunkId& id) const {
  for (const Pending* pending : {&pending_, &syncing_})
    if (const auto found = pending->find(id); found != pending->end()) return found->second;
  return std::nullopt;
}

std::vector<bool> LocalStore::contains(std::span<const ChunkId> ids) {
  std::vector<bool> there(ids.size());
  std::vector<ChunkId> rest;
  std::vector<std::size_t> rest_at;
  {
    const std::lock_guard guard(append_mutex_);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      there[i] = pending_place(ids[i]).has_value();
      if (there[i]) continue;
      rest.push_back(ids[i]);
      rest_at.push_back(i);
    }
  }
  // In this order: an id leaves the pending ones only after it is in the index.
  const std::vector<std::optional<ChunkPlace>> places = index_->find(rest);
  for (std::size_t i = 0; i < rest.size(); ++i) there[rest_at[i]] = places[i].has_value();
  return there;
}

bool LocalStore::all_known(const FrameView& frame) {
  std::vector<ChunkId> ids;
  for (const FrameChunk& chunk : frame.chunks) ids.push_back(chunk.id);
  const std::vector<bool> there = contains(ids);
  return std::find(there.begin(), there.end(), false) == there.end();
}

std::uint64_t LocalStore::append(const FrameView& frame) {
  throw_unless_writable();
  if (frame.whole.size() > pack_frame_bytes_max || frame.chunks.empty())
    throw Error(ErrorCode::malformed, "a frame is empty or too long for a pack");
  if (all_known(frame)) return 0;

  for (;;) {
    std::unique_lock append_guard(append_mutex_);
    throw_if_failed();
    const bool full = open_pack_ && open_pack_->chunk_count() != 0 &&
                      (open_pack_->size() + frame.whole.size() > options_.pack_bytes_target ||
                       open_pack_->chunk_count() + frame.chunks.size() > open_pack_chunks_max);
    const bool much_pending = pending_bytes_ >= pending_bytes_max || pending_.size() >= pending_ids_max;
    if (full || much_pending) {
      const std::uint64_t size = open_pack_->size();
      append_guard.unlock();
      const std::lock_guard sync_guard(sync_mutex_);
      if (full)
        seal_locked(size);  // unless another thread has, and a new pack is open
      else
        sync_locked();
      continue;
    }
    if (appended_since_space_check_ == 0 || appended_since_space_check_ >= space_check_interval_bytes) {
      check_reserve(frame.whole.size());
      appended_since_space_check_ = 0;
    }
    if (!open_pack_)
      open_pack_.emplace(
          Journal::create(place_.journal(), {place_.store, place_.domain.uuid, Uuid::random(), now_ms()}));
    std::uint64_t offset = 0;
    try {
      offset = open_pack_->append(frame);
    } catch (...) {
      appended_since_space_check_ = 0;
      throw;
    }
    const auto length = static_cast<std::uint32_t>(frame.whole.size());
    for (const FrameChunk& chunk : frame.chunks)
      pending_.try_emplace(chunk.id, PendingPlace{open_pack_->pack(), offset, length});
    pending_bytes_ += length;
    appended_since_space_check_ += length;
    return length;
  }
}

void LocalStore::sync() {
  if (!options_.writable) return;
  const std::lock_guard guard(sync_mutex_);
  sync_locked();
}

void LocalStore::sync_locked() {
  IndexedPack facts;
  {
    const std::lock_guard guard(append_mutex_);
    throw_if_failed();
    if (pending_.empty()) return;
    facts = {open_pack_->pack(), false, open_pack_->size(), 0, open_pack_->chain(), 0};
    syncing_ = std::exchange(pending_, {});
    pending_bytes_ = 0;
  }
  try {
    open_pack_->sync();
  } catch (const Error& error) {
    // After a failed fsync nobody knows which of the bytes the kernel dropped: only a new scan can tell.
    const std::lock_guard guard(append_mutex_);
    failure_ = error.what();
    throw;
  }
  try {
    std::vector<PackChunk> rows;
    rows.reserve(syncing_.size());
    for (const auto& [id, place] : syncing_) rows.push_back({id, place.offset, place.length});
    sort_pack_chunks(rows);
    index_->add(facts, rows);
  } catch (...) {
    // The frames are durable; the next sync() records them.
    const std::lock_guard guard(append_mutex_);
    for (const auto& [id, place] : syncing_) pending_.try_emplace(id, place);
    syncing_.clear();
    throw;
  }
  const std::lock_guard guard(append_mutex_);
  syncing_.clear();
}

void LocalStore::seal(std::uint64_t min_bytes) {
  throw_unless_writable();
  const std::lock_guard guard(sync_mutex_);
  seal_locked(min_bytes);
}

void LocalStore::seal_locked(std::uint64_t min_bytes) {
  // Appends go on until the pending rest is small, then they wait for the trailer.
  sync_locked();
  std::unique_lock append_guard(append_mutex_);
  while (!pending_.empty()) {
    append_guard.unlock();
    sync_locked();
    append_guard.lock();
  }
  throw_if_failed();
  if (!open_pack_ || open_pack_->chunk_count() == 0 || open_pack_->size() < min_bytes) return;
  const std::uint64_t check = open_pack_->finish();
  const std::string name = pack_object_name(open_pack_->pack());
  if (!objects_->put_file_if_absent(name, open_pack_->path()))
    throw Error(ErrorCode::exists, "a sealed pack is there already", name);
  const Uuid pack = open_pack_->pack();
  open_pack_.reset();
  append_guard.unlock();
  const ObjectFacts facts = objects_->facts(name).value_or(ObjectFacts{});
  try {
    index_->add({pack, true, facts.size, facts.modified_ns, check, 0}, {});
  } catch (const Error& error) {
    // Its rows are there and right; that it is sealed, the next open() finds out by itself.
    if (error.code() != ErrorCode::no_space && error.code() != ErrorCode::busy) throw;
  }
}

std::vector<Store::Located> LocalStore::locate(std::span<const ChunkId> ids, std::vector<ChunkId>& missing) {
  struct Found {
    std::int64_t order;
    FrameLocation frame;
    ChunkId id;
    auto key() const { return std::tie(order, frame, id); }
  };
  std::vector<Found> found;
  std::vector<ChunkId> rest;
  {
    const std::lock_guard guard(append_mutex_);
    for (const ChunkId& id : ids) {
      if (const std::optional<PendingPlace> place = pending_place(id))
        found.push_back({std::numeric_limits<std::int64_t>::max(), {place->pack, place->offset, place->length}, id});
      else
        rest.push_back(id);
    }
  }
  const std::vector<std::optional<ChunkPlace>> places = index_->find(rest);
  for (std::size_t i = 0; i < rest.size(); ++i) {
    if (places[i])
      found.push_back({places[i]->pack_order, {places[i]->pack, places[i]->offset, places[i]->length}, rest[i]});
    else
      missing.push_back(rest[i]);
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.key() < b.key(); });
  std::vector<Located> located;
  for (const Found& chunk : found) {
    if (located.empty() || located.back().frame != chunk.frame) located.push_back({chunk.frame, {}});
    if (located.back().ids.empty() || located.back().ids.back() != chunk.id) located.back().ids.push_back(chunk.id);
  }
  return located;
}

Bytes LocalStore::read_frame(const FrameLocation& location) {
  if (location.length > pack_frame_bytes_max || location.length <= frame_header_bytes)
    throw Error(ErrorCode::damaged, "the index names bytes that are no frame", name_of(location));
  Bytes bytes(location.length);
  const std::string object = pack_object_name(location.pack);
  const std::filesystem::path journal_file = place_.journal() / (location.pack.to_string() + ".pack");
  // A writer may seal the pack, and so move it, at any time: then it is where we looked first.
  bool read = false;
  for (int attempt = 0; attempt < 2 && !read; ++attempt) {
    try {
      bytes.resize(objects_->get(object, location.offset, bytes));
      read = true;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::not_found) throw;
      if (const std::optional<Descriptor> file = open_if_there(journal_file, O_RDONLY)) {
        bytes.resize(read_at(*file, location.offset, bytes, journal_file));
        read = true;
      }
    }
  }
  if (!read) throw Error(ErrorCode::damaged, "a pack of the store is missing", object);
  try {
    parse_frame(bytes);
  } catch (const Error& error) {
    throw Error(ErrorCode::damaged, "a frame of the store is damaged", name_of(location), error.what());
  }
  return bytes;
}

std::vector<PackChunk> LocalStore::chunks_of_pack(const Uuid& pack) {
  {
    const std::lock_guard guard(append_mutex_);
    if (open_pack_ && open_pack_->pack() == pack) return open_pack_->chunks();
  }
  try {
    const std::string object = pack_object_name(pack);
    const std::optional<ObjectFacts> facts = objects_->facts(object);
    if (!facts) return {};
    const auto read = [&](std::uint64_t offset, std::span<std::byte> into) {
      return objects_->get(object, offset, into);
    };
    return read_pack_trailer(read, facts->size, pack).chunks;
  } catch (const Error&) {  // its trailer is damaged too
    return {};
  }
}

void LocalStore::recheck(std::span<const ChunkId> ids, bool named_by_point) {
  if (!options_.writable) {
    if (named_by_point) recheck_as_writer(ids);
    return;
  }
  std::vector<ChunkId> missing;
  std::vector<ChunkIndex::Lost> lost;
  DecodedFrames frames(*this, 0, std::nullopt);
  std::optional<std::pair<Uuid, std::vector<PackChunk>>> table;  // of the last pack with a damaged frame
  for (const auto& [location, in_frame] : locate(ids, missing)) {
    std::shared_ptr<const DecodedFrame> frame;
    try {
      frame = frames.get(location);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::damaged) continue;  // it may be there, and only not be readable now
    }
    for (const ChunkId& id : in_frame) {
      const std::optional<ByteView> content = frame ? frame->find(id) : std::nullopt;
      if (!content || chunk_id_of(place_.domain.key, *content) != id)
        lost.push_back({id, location.pack, location.offset});
    }
    if (frame) continue;
    // With the frame all of its chunks are lost, not only those that somebody asked for.
    if (!table || table->first != location.pack) table.emplace(location.pack, chunks_of_pack(location.pack));
    for (const PackChunk& chunk : table->second)
      if (chunk.offset == location.offset) lost.push_back({chunk.id, location.pack, location.offset});
  }
  if (named_by_point)
    for (const ChunkId& id : missing) lost.push_back({id, {}, 0});
  if (!lost.empty()) index_->drop_lost(lost);
}

// A verification that reads the store directly: what it finds counts as lost too, where nobody else writes just now.
void LocalStore::recheck_as_writer(std::span<const ChunkId> ids) {
  StoreOptions writing = options_;
  writing.writable = true;
  try {
    LocalStore(place_.directory, writing).recheck(ids, true);
  } catch (const Error&) {  // another writes, or this disk is not ours to write: the damage is told all the same
  }
}

std::unique_ptr<ChunkSource> LocalStore::chunk_source() {
  return std::make_unique<StoreChunkSource>(*this, place_.domain.key);
}

// --- points and sessions

RestorePoint LocalStore::add_point(RestorePoint point) {
  throw_unless_writable();
  sync();
  if (point.domain_uuid.is_none()) point.domain_uuid = place_.domain.uuid;
  return points_->add(std::move(point));
}

bool LocalStore::add_replica_point(ByteView encoded) {
  throw_unless_writable();
  sync();
  return points_->add_replica(encoded);
}

void LocalStore::remove_point(const Uuid& point_uuid, bool dry_run) {
  if (dry_run) {
    if (!points_->has(point_uuid))
      throw Error(ErrorCode::not_found, "no such restore point in the store", point_uuid.to_string());
    check_not_leased(place_.directory, point_uuid);
    return;
  }
  const FileLock lock = points_->lock_points();
  check_not_leased(place_.directory, point_uuid);
  points_->remove(point_uuid);
}

std::unique_ptr<Store::Lease> LocalStore::lease(const Uuid& client, const Uuid& machine,
                                                std::span<const Uuid> base_points) {
  const FileLock lock = points_->lock_points();
  for (const Uuid& base : base_points)
    if (!points_->has(base))
      throw Error(ErrorCode::not_found, "no such restore point in the store", base.to_string());
  return take_lease(place_.directory, client, machine, base_points);
}

void LocalStore::pin(const Uuid& client, const Uuid& machine, const std::string& machine_name) {
  throw_unless_writable();
  if (options_.pin_days > 0)
    write_pin(place_.directory, client, machine, machine_name, now_ms() / 1000, options_.pin_days);
}

void LocalStore::unpin(const Uuid& client, const Uuid& machine) noexcept {
  try {
    remove_pin(place_.directory, client, machine);
  } catch (...) {  // it ends by itself
  }
}

std::vector<Pin> LocalStore::pins() { return read_pins(place_.directory); }

StoreStatus LocalStore::status() {
  StoreStatus status;
  status.uuid = place_.store;
  const std::vector<PointSummary> all = points_->list().points;
  std::set<std::pair<Uuid, Uuid>> machines;
  for (const PointSummary& point : all) machines.emplace(point.client_uuid, point.machine_uuid);
  status.machines = machines.size();
  status.points = all.size();
  const ChunkIndex::Counts counts = index_->counts();
  status.packs = counts.packs;
  status.chunks = counts.chunks;
  status.stored_bytes = counts.bytes;
  status.lost_chunks = counts.lost;
  const Space space = space_of(place_.directory);
  status.available_bytes = space.available;
  status.file_system_bytes = space.total;
  status.reserve_bytes = reserve_of(space, options_.reserve_fraction);
  if (options_.writable)
    status.writer_pid = ::getpid();
  else if (is_locked(place_.directory / "lock"))
    status.writer_pid = read_holder(place_.directory / "lock").pid;
  return status;
}

}  // namespace vmferry::store
