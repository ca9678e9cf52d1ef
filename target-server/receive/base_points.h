// Base points: which points a session may be built on, as the store stands.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "protocol/point.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

// Error{no_space} where less than the reserve is left.
void refuse_below_reserve(store::Store& store);

// nullopt for a point whose file is damaged: a backup goes on without it, and verify names it.
std::optional<RestorePoint> sound_point(store::Store& store, const Uuid& uuid);

// A base point that reaches a lost chunk would keep it from being sent again. lost: sorted.
void drop_what_reaches_lost(store::Store& store, std::span<const ChunkId> lost, std::vector<Uuid>& points);

}  // namespace vmferry::target_server
