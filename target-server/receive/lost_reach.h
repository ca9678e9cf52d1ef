// Does a point reach a chunk that the store has lost? Then no point may be built on it: a client takes all of it for
// known, and would not send the chunk again. Walks the trees of the point, which costs reading all of their nodes:
// only for while something is lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "protocol/point.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

// Past these nobody looks, and the point counts as one that reaches them: 4 MiB of ids; about a minute of reading.
inline constexpr std::size_t lost_ids_max = 1u << 17;
inline constexpr std::uint64_t walked_entries_max = 20'000'000;

// lost: sorted. True also where it cannot be told: a node is missing or damaged, or there is too much to walk.
bool reaches_lost(store::Store& store, const RestorePoint& point, std::span<const ChunkId> lost);

}  // namespace vmferry::target_server
