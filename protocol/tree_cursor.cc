#include <stdexcept>

#include "protocol/tree.h"
#include "protocol/tree_path.h"

namespace vmferry {

struct TreeCursor::State {
  State(const TreeRoot& tree_root, ChunkSource& source, TreeWalk walk) : root(tree_root), path(tree_root, source, walk) {}

  TreeRoot root;
  tree::TreePath path;
  std::size_t at = 0;
  bool at_end = true;
  TreeEntry entry;

  bool leaf_holds(ByteView key) const {
    if (!path.loaded() || at_end) return false;
    const tree::FlatNode& leaf = path.node();
    return tree::compare_keys(leaf.key(0), key) <= 0 && tree::compare_keys(key, leaf.key(leaf.size() - 1)) <= 0;
  }

  // False for an empty tree.
  bool go_to_leaf(ByteView key) {
    at_end = root.levels == 0;
    if (at_end) return false;
    path.descend(key, 0);
    return true;
  }

  void settle() {
    if (at == path.node().size()) {
      at_end = true;  // stays so if the next node cannot be had
      at = 0;
      if (!path.next_node()) return;
      at_end = false;
    }
    const ByteView key = path.node().key(at);
    const ByteView value = path.node().value(at);
    entry.key.assign(key.begin(), key.end());
    entry.value.assign(value.begin(), value.end());
  }
};

TreeCursor::TreeCursor(TreeRoot root, ChunkSource& source, TreeWalk walk)
    : state_(std::make_unique<State>(root, source, walk)) {}
TreeCursor::~TreeCursor() = default;

void TreeCursor::seek(ByteView key) {
  State& state = *state_;
  if (!state.leaf_holds(key) && !state.go_to_leaf(key)) return;
  state.at = state.path.node().lower_bound(key);
  state.settle();
}

void TreeCursor::seek_floor(ByteView key) {
  State& state = *state_;
  if (!state.leaf_holds(key) && !state.go_to_leaf(key)) return;
  const std::size_t after = state.path.node().upper_bound(key);
  state.at = after == 0 ? 0 : after - 1;
  state.settle();
}

bool TreeCursor::at_end() const noexcept { return state_->at_end; }

const TreeEntry& TreeCursor::entry() const {
  if (state_->at_end) throw std::logic_error("a tree cursor is at the end");
  return state_->entry;
}

void TreeCursor::next() {
  if (state_->at_end) throw std::logic_error("a tree cursor is at the end");
  ++state_->at;
  state_->settle();
}

std::optional<Bytes> tree_lookup(TreeRoot root, ChunkSource& source, ByteView key) {
  if (root.levels == 0) return std::nullopt;
  tree::TreePath path(root, source);
  path.descend(key, 0);
  const tree::FlatNode& leaf = path.node();
  const std::size_t at = leaf.lower_bound(key);
  if (at == leaf.size() || tree::compare_keys(leaf.key(at), key) != 0) return std::nullopt;
  const ByteView value = leaf.value(at);
  return Bytes(value.begin(), value.end());
}

}  // namespace vmferry
