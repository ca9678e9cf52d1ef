// LocalStore: Store over a journal, an object store and an index. How its locks are nested: sync_mutex_ (one sync or
// seal at a time; held over fsync), then append_mutex_ (the open pack and the pending ids; held over one write).
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "target-server/store/chunk_index.h"
#include "target-server/store/file_lock.h"
#include "target-server/store/journal.h"
#include "target-server/store/object_store.h"
#include "target-server/store/point_store.h"
#include "target-server/store/recovery.h"
#include "target-server/store/store.h"

namespace vmferry::store {

class LocalStore final : public Store {
 public:
  LocalStore(const std::filesystem::path& directory, const StoreOptions& options);
  ~LocalStore() override;

  const Uuid& uuid() const noexcept override { return place_.store; }
  const DomainFacts& domain() const noexcept override { return place_.domain; }
  std::vector<bool> contains(std::span<const ChunkId> ids) override;
  std::uint64_t append(const FrameView& frame) override;
  void sync() override;
  std::vector<Located> locate(std::span<const ChunkId> ids, std::vector<ChunkId>& missing) override;
  Bytes read_frame(const FrameLocation& location) override;
  void recheck(std::span<const ChunkId> ids, bool named_by_point) override;
  bool any_lost() const override { return index_->any_lost(); }
  std::vector<ChunkId> lost(std::size_t ids_max) override { return index_->lost(ids_max); }
  std::unique_ptr<ChunkSource> chunk_source() override;
  std::vector<PointSummary> points() override { return points_->list().points; }
  std::vector<DamagedPoint> damaged_points() override { return points_->list().damaged; }
  RestorePoint point(const Uuid& point_uuid) override { return points_->get(point_uuid); }
  Bytes encoded_point(const Uuid& point_uuid) override { return points_->get_encoded(point_uuid); }
  RestorePoint add_point(RestorePoint point) override;
  bool add_replica_point(ByteView encoded) override;
  void remove_point(const Uuid& point_uuid, bool dry_run) override;
  std::unique_ptr<Lease> lease(const Uuid& client, const Uuid& machine, std::span<const Uuid> base_points) override;
  void pin(const Uuid& client, const Uuid& machine, const std::string& machine_name) override;
  void unpin(const Uuid& client, const Uuid& machine) noexcept override;
  std::vector<Pin> pins() override;
  StoreStatus status() override;
  const std::vector<Warning>& notes() const noexcept override { return notes_; }
  void seal(std::uint64_t min_bytes) override;

 private:
  struct PendingPlace {
    Uuid pack;
    std::uint64_t offset;
    std::uint32_t length;
  };
  using Pending = std::unordered_map<ChunkId, PendingPlace>;

  void open_to_write();
  void open_to_read();
  void open_index(bool may_rebuild);
  void open_private_index();
  void recheck_as_writer(std::span<const ChunkId> ids);
  bool try_to_recover_for_reading();
  void throw_unless_writable() const;
  void throw_if_failed() const;
  void check_reserve(std::uint64_t more_bytes);
  std::optional<PendingPlace> pending_place(const ChunkId& id) const;  // under append_mutex_
  bool all_known(const FrameView& frame);
  std::vector<PackChunk> chunks_of_pack(const Uuid& pack);  // as it says itself; empty where it cannot be told
  void sync_locked();                       // under sync_mutex_
  void seal_locked(std::uint64_t min_bytes);  // under sync_mutex_

  const StoreOptions options_;
  StorePlace place_;
  std::vector<Warning> notes_;
  std::optional<FileLock> writer_lock_;
  std::unique_ptr<ObjectStore> objects_;
  std::optional<std::filesystem::path> private_directory_;  // of a reader's own index
  std::unique_ptr<ChunkIndex> index_;
  std::unique_ptr<PointStore> points_;

  std::mutex sync_mutex_;
  mutable std::mutex append_mutex_;
  std::optional<Journal> open_pack_;
  Pending pending_;  // appended, not yet being synced
  Pending syncing_;  // being made durable and indexed
  std::uint64_t pending_bytes_ = 0;
  std::uint64_t appended_since_space_check_ = 0;
  std::string failure_;  // why the journal can no longer be trusted; empty: it can
};

}  // namespace vmferry::store
