// The check before a commit: is everything there that the point names, and is it well-formed? What a leased base point
// reaches at the same place is known to be there and is skipped, so the cost follows the change.
#pragma once

#include <vector>

#include "protocol/point.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

inline constexpr std::size_t missing_ids_max = 1000;

// The ids that the store lacks, at most missing_ids_max; empty: all is there. Throws Error{malformed}.
std::vector<ChunkId> missing_chunks(store::Store& store, const RestorePoint& point,
                                    const std::vector<RestorePoint>& bases);

}  // namespace vmferry::target_server
