// TreePath: the nodes from a tree's root down to a place in it, kept while one moves along. Inside of the trees: others
// use TreeCursor. It fetches children ahead in batches where the caller walks on, one at a time where it jumps (in batches
// then too, where it is to walk onwards), and checks every node against its parent: level, first key, last key, entries. One thread.
#pragma once

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "protocol/chunk_source.h"
#include "protocol/tree.h"
#include "protocol/tree_node.h"

namespace vmferry::tree {

class TreePath {
 public:
  TreePath(const TreeRoot& root, ChunkSource& source, TreeWalk walk = TreeWalk::here_and_there);

  // Loads the path to the node at `level` that holds `key` or the place where it would be, reusing what is loaded.
  // The tree must have that level.
  void descend(ByteView key, std::uint8_t level);
  // Moves to the next node at the level that descend() went to, fetching ahead. False at the last one.
  bool next_node();

  bool loaded() const noexcept { return !steps_.empty(); }
  const FlatNode& node() const noexcept { return steps_.back().node; }

 private:
  struct Step {
    FlatNode node;
    std::size_t at = 0;           // the child that the next step holds
    std::optional<Bytes> upper;   // keys below this node are less; none: no bound
    std::deque<std::pair<std::size_t, Bytes>> ahead;  // children fetched and not yet used, by index
  };

  void load_root();
  // Puts child `at` of the last step below it.
  void push_child(std::size_t at, std::size_t window);
  Bytes take_child(Step& parent, std::size_t at, std::size_t window);
  void check(const Step& step, std::uint8_t level) const;

  TreeRoot root_;
  ChunkSource& source_;
  const std::size_t window_min_;
  std::vector<Step> steps_;
  std::size_t window_;
};

}  // namespace vmferry::tree
