// PointStore: restore points as objects points/CLIENT/MACHINE/NNNNNNNN-UUID.point, immutable, and their numbers.
// A number belongs to a machine and is never given twice: machines/CLIENT/MACHINE holds the next one, durable
// before the point that uses it; where that file is lost, the highest point's number + 1.
// Thread-safe; adding and removing take the store-wide points lock, which other processes take too.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "target-server/store/file_lock.h"
#include "target-server/store/object_store.h"
#include "target-server/store/store.h"
#include "target-server/store/summary_cache.h"

namespace vmferry::store {

class PointStore {
 public:
  // cache: null where the store's file system is read-only.
  PointStore(std::filesystem::path store, ObjectStore& objects, std::unique_ptr<SummaryCache> cache);

  // By client, machine and number. Points that cannot be read are in `damaged`.
  struct Listing {
    std::vector<PointSummary> points;
    std::vector<DamagedPoint> damaged;
  };
  Listing list();
  RestorePoint get(const Uuid& uuid);
  Bytes get_encoded(const Uuid& uuid);
  RestorePoint add(RestorePoint point);
  bool add_replica(ByteView encoded);  // false: it is there already
  void remove(const Uuid& uuid);  // the caller holds lock_points() and has checked the leases
  bool has(const Uuid& uuid);

  FileLock lock_points() const;

 private:
  struct Known {
    ObjectFacts facts;
    std::optional<PointSummary> summary;  // none: damaged
    std::string damage;
  };
  using KnownPoints = std::map<std::string, Known>;  // by object name

  void refresh();  // under mutex_
  std::string name_of(const Uuid& uuid);
  struct Stored {
    Bytes encoded;
    RestorePoint point;
  };
  Stored read(const std::string& name);
  Stored find(const Uuid& uuid);
  void put(const RestorePoint& point, ByteView encoded);
  // Under lock_points(): the machine's next number, and the durable record of what it is.
  std::uint64_t next_number(const Uuid& client, const Uuid& machine);
  void set_next_number(const Uuid& client, const Uuid& machine, std::uint64_t next);

  const std::filesystem::path store_;
  ObjectStore& objects_;
  std::unique_ptr<SummaryCache> cache_;
  std::mutex mutex_;
  KnownPoints known_;
};

}  // namespace vmferry::store
