#include "target-server/receive/base_points.h"

#include "protocol/error.h"
#include "target-server/receive/lost_reach.h"

namespace vmferry::target_server {

void refuse_below_reserve(store::Store& store) {
  const store::StoreStatus status = store.status();
  if (status.available_bytes < status.reserve_bytes)
    throw Error(ErrorCode::no_space, "the store's disk is full", "store " + status.uuid.to_string(),
                std::to_string(status.available_bytes) + " bytes are available, and " +
                    std::to_string(status.reserve_bytes) +
                    " are kept in reserve for maintenance: free space there, or give it a larger disk");
}

std::optional<RestorePoint> sound_point(store::Store& store, const Uuid& uuid) {
  try {
    return store.point(uuid);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::damaged) throw;
    return std::nullopt;
  }
}

void drop_what_reaches_lost(store::Store& store, std::span<const ChunkId> lost, std::vector<Uuid>& points) {
  if (lost.empty()) return;
  std::erase_if(points, [&](const Uuid& uuid) {
    if (lost.size() == lost_ids_max) return true;
    const auto point = sound_point(store, uuid);
    return !point || reaches_lost(store, *point, lost);
  });
}

}  // namespace vmferry::target_server
