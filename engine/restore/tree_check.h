// check_tree: reads every node of a tree and gives its entries in key order, going around what is missing or broken.
// Memory: a path of nodes, and one batch of nodes. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "protocol/tree.h"

namespace vmferry::restore {

struct TreeCheck {
  std::uint64_t nodes = 0;
  std::uint64_t node_bytes = 0;
  std::uint64_t entries = 0;
};

// visit: each entry; damage: a sentence for what is wrong with a node. Errors that are not the content's are thrown.
TreeCheck check_tree(const TreeRoot& root, ChunkSource& source, const std::function<void(const TreeEntry&)>& visit,
                     const std::function<void(const std::string&)>& damage);

}  // namespace vmferry::restore
