// Metadata trees: a sorted map from byte-string keys to byte-string values, cut into nodes of about 4 KiB by
// content, several levels, every node a chunk. The same entries always make the same nodes (history
// independent), a scattered change costs its nodes, an unchanged subtree is one id.
// docs/format/tree.md has the layout with worked hex. Image map and file index are trees.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/chunk_id.h"
#include "protocol/chunk_source.h"

namespace vmferry {

struct TreeRoot {
  ChunkId node;                 // meaningless for an empty tree
  std::uint8_t levels = 0;      // 0: empty; 1: the root is a leaf
  std::uint64_t entries = 0;
  bool operator==(const TreeRoot&) const = default;
};

// TreeBuilder: takes entries in strictly ascending key order (throws std::logic_error otherwise) and hands out
// nodes bottom-up as they are complete. Memory: a node per level. One thread.
class TreeBuilder {
 public:
  using EmitNode = std::function<void(const ChunkId& id, ByteView node)>;

  TreeBuilder(const DomainKey& key, EmitNode emit);
  ~TreeBuilder();
  void add(ByteView key, ByteView value);  // within limits::tree_*_max
  TreeRoot finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct TreeEntry {
  Bytes key;
  Bytes value;
};

// A parsed node, for walkers that need the structure itself (commit checks, prefetch). Throws Error{malformed}
// unless keys ascend strictly and everything is within limits.
struct TreeNode {
  std::uint8_t level = 0;  // 0: leaf
  struct Child {
    Bytes first_key;
    ChunkId node;
    std::uint64_t entries;
  };
  std::vector<Child> children;    // level > 0
  std::vector<TreeEntry> entries;  // level 0
};
TreeNode parse_tree_node(ByteView node);

// How a tree is read: here and there, or from a place onwards, which is worth many nodes at once from the beginning.
enum class TreeWalk { here_and_there, onwards };

// TreeCursor: walks a tree in key order from any key. It fetches the nodes ahead in one batch per inner node.
// One thread. Throws what the source throws, and Error{malformed} for a node of the wrong level or order.
class TreeCursor {
 public:
  TreeCursor(TreeRoot root, ChunkSource& source, TreeWalk walk = TreeWalk::here_and_there);
  ~TreeCursor();

  void seek(ByteView key);  // the first entry with key >= this; forward seeks within the leaf are cheap
  void seek_floor(ByteView key);  // the last entry with key <= this, else the first entry
  bool at_end() const noexcept;  // true before the first seek, and after one that threw
  const TreeEntry& entry() const;  // valid until the next move
  void next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::optional<Bytes> tree_lookup(TreeRoot root, ChunkSource& source, ByteView key);

// Visits every node of `tree` that `base` (pass {} for none) does not have at the same place: parents before children,
// the leaves in key order; equal subtrees are skipped by id. So it finds what a point adds. A thousand nodes of a
// level are asked for at once, so that the source may lie behind a line. A base that cannot be read counts as none.
// Memory: a thousand nodes, and their places on each level.
struct NewNode {
  const ChunkId& id;
  ByteView content;
  const TreeNode& node;
  std::optional<ChunkId> in_base;  // what the base has at its place, if it is that high
};
void visit_new_nodes(const TreeRoot& tree, ChunkSource& source, const TreeRoot& base, ChunkSource& base_source,
                     const std::function<void(const NewNode&)>& visit);

}  // namespace vmferry
