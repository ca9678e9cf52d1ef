// TreeWalk: visits what a tree has beyond a base tree, for checks: it says what it skipped because the base has it at
// the same place, and goes on past nodes that are missing or broken. Every node is checked against its parent: level,
// first key, bounds, entries. Memory: a batch of nodes per level. One thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "protocol/tree.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

struct TreeEvents {
  std::function<void(const TreeNode& leaf)> leaf;                          // in key order
  std::function<void(const ChunkId& id, std::size_t bytes)> node_read = [](const ChunkId&, std::size_t) {};
  // A subtree that the base has too. end: where it ends in the base (the key of what follows it there); none: at the
  // base's end.
  std::function<void(ByteView first_key, const std::optional<Bytes>& end)> same_as_base;
  // Nothing of the subtree [first_key, end) was visited; none: to the tree's bounds. why is empty where it is missing.
  std::function<void(const ChunkId& id, const std::optional<Bytes>& first_key, const std::optional<Bytes>& end,
                     const std::string& why)>
      lost;
};

// Throws Error{malformed} for a tree that is not one. base: {} for none.
void walk_tree(const TreeRoot& tree, const TreeRoot& base, store::Store& store, ChunkSource& source,
               const TreeEvents& events);

}  // namespace vmferry::target_server
