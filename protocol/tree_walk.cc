#include <algorithm>
#include <string>
#include <unordered_map>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/tree.h"
#include "protocol/tree_path.h"

namespace vmferry {
namespace {

constexpr std::size_t batch_max = 64;

[[noreturn]] void throw_malformed(std::string_view why) {
  throw Error(ErrorCode::malformed, "cannot read a tree", {}, std::string(why));
}

// What the base tree has at the same place.
class BaseWalk {
 public:
  BaseWalk(const TreeRoot& root, ChunkSource& source) : root_(root), path_(root, source) {}

  // The base's node at `level` that holds `key`; nullopt where the base is not that high.
  std::optional<ChunkId> node_at(ByteView key, std::uint8_t level) {
    if (level >= root_.levels) return std::nullopt;
    if (level + 1 == root_.levels) return root_.node;
    path_.descend(key, static_cast<std::uint8_t>(level + 1));
    const std::size_t after = path_.node().upper_bound(key);
    return path_.node().child(after == 0 ? 0 : after - 1);
  }

 private:
  TreeRoot root_;
  tree::TreePath path_;
};

class NewNodesWalk {
 public:
  using Visit = std::function<void(const ChunkId&, const TreeNode&)>;

  NewNodesWalk(const TreeRoot& base, ChunkSource& source, const Visit& visit)
      : base_(base, source), source_(source), visit_(visit) {}

  struct Expected {
    ChunkId id;
    std::uint8_t level;
    std::optional<Bytes> first_key;  // none: the root
    std::optional<Bytes> upper;      // its keys are less
    std::uint64_t entries;
  };

  void walk(const Expected& expected, ByteView content) {
    const TreeNode node = parse_tree_node(content);
    check(expected, node);
    visit_(expected.id, node);
    if (node.level == 0) return;
    const auto child_level = static_cast<std::uint8_t>(node.level - 1);
    std::vector<Expected> batch;
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      const TreeNode::Child& child = node.children[i];
      if (base_.node_at(child.first_key, child_level) == child.node) continue;
      const auto upper = i + 1 < node.children.size() ? std::optional(node.children[i + 1].first_key) : expected.upper;
      batch.push_back({child.node, child_level, child.first_key, upper, child.entries});
      if (batch.size() == batch_max) walk_batch(batch);
    }
    walk_batch(batch);
  }

  void walk_batch(std::vector<Expected>& batch) {
    if (batch.empty()) return;
    std::vector<ChunkId> ids;
    for (const Expected& expected : batch) ids.push_back(expected.id);
    std::unordered_map<ChunkId, Bytes> contents;
    source_.get(ids, [&](const ChunkId& id, ByteView content) { contents[id].assign(content.begin(), content.end()); });
    for (const Expected& expected : batch) {
      const auto found = contents.find(expected.id);
      if (found == contents.end())
        throw Error(ErrorCode::damaged, "a tree node is missing", expected.id.to_string());
      walk(expected, found->second);
    }
    batch.clear();
  }

 private:
  static void check(const Expected& expected, const TreeNode& node) {
    if (node.level != expected.level) throw_malformed("a node of the wrong level");
    std::uint64_t entries = node.entries.size();  // the sum cannot wrap: parse_tree_node looked
    for (const TreeNode::Child& child : node.children) entries += child.entries;
    if (entries != expected.entries) throw_malformed("a node with another number of entries");
    const Bytes& first = node.level == 0 ? node.entries.front().key : node.children.front().first_key;
    const Bytes& last = node.level == 0 ? node.entries.back().key : node.children.back().first_key;
    if (expected.first_key && first != *expected.first_key) throw_malformed("a node of another place");
    if (expected.upper && tree::compare_keys(last, *expected.upper) >= 0)
      throw_malformed("a node reaches into its neighbour");
  }

  BaseWalk base_;
  ChunkSource& source_;
  const Visit& visit_;
};

}  // namespace

void visit_new_nodes(TreeRoot tree, TreeRoot base, ChunkSource& source,
                     const std::function<void(const ChunkId& id, const TreeNode& node)>& visit) {
  if (tree.levels == 0) return;
  if (tree.levels > limits::tree_depth_max || base.levels > limits::tree_depth_max)
    throw_malformed("a bad number of levels");
  if (tree.levels == base.levels && tree.node == base.node) return;
  NewNodesWalk walk(base, source, visit);
  const auto level = static_cast<std::uint8_t>(tree.levels - 1);
  // A tree that shrank may have for its root what is an inner node of the base: only the walk below finds it.
  std::vector<NewNodesWalk::Expected> root = {{tree.node, level, std::nullopt, std::nullopt, tree.entries}};
  walk.walk_batch(root);
}

}  // namespace vmferry
