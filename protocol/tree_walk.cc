#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/tree.h"
#include "protocol/tree_path.h"

namespace vmferry {
namespace {

// Nodes that are asked for at once.
constexpr std::size_t batch_max = 1024;

[[noreturn]] void throw_bad_tree(std::string_view why) {
  throw Error(ErrorCode::malformed, "cannot read a tree", {}, std::string(why));
}

// What the base tree has at the same place.
class BaseWalk {
 public:
  BaseWalk(const TreeRoot& root, ChunkSource& source)
      : levels_(root.levels <= limits::tree_depth_max ? root.levels : 0), root_(root.node), path_(root, source) {}

  // The base's node at `level` that holds `key`; nullopt where the base is not that high, or cannot be read.
  std::optional<ChunkId> node_at(ByteView key, std::uint8_t level) {
    if (level >= levels_) return std::nullopt;
    if (level + 1 == levels_) return root_;
    try {
      path_.descend(key, static_cast<std::uint8_t>(level + 1));
    } catch (const Error& error) {
      if (error.code() == ErrorCode::unreachable) throw;
      levels_ = 0;
      return std::nullopt;
    }
    const std::size_t after = path_.node().upper_bound(key);
    return path_.node().child(after == 0 ? 0 : after - 1);
  }

 private:
  std::uint8_t levels_;
  const ChunkId root_;
  tree::TreePath path_;
};

class NewNodesWalk {
 public:
  using Visit = std::function<void(const NewNode&)>;

  NewNodesWalk(ChunkSource& source, const TreeRoot& base, ChunkSource& base_source, const Visit& visit)
      : source_(source), base_(base, base_source), visit_(visit) {}

  struct Expected {
    ChunkId id;
    std::uint8_t level;
    std::optional<Bytes> first_key;  // none: the root
    std::optional<Bytes> end;        // its keys are less
    std::uint64_t entries;
    std::optional<ChunkId> in_base;  // what the base has there
  };

  // Nodes of one level, in key order, each with all that is new below it.
  void walk(std::vector<Expected> nodes) {
    if (nodes.empty()) return;
    std::vector<ChunkId> ids;
    for (const Expected& expected : nodes) ids.push_back(expected.id);
    std::unordered_map<ChunkId, Bytes> contents;
    source_.get(ids, [&](const ChunkId& id, ByteView content) { contents[id].assign(content.begin(), content.end()); });
    std::vector<Expected> below;
    for (const Expected& expected : nodes) {
      const auto content = contents.find(expected.id);
      if (content == contents.end())
        throw Error(ErrorCode::damaged, "a tree node is missing", expected.id.to_string());
      const TreeNode node = parse_tree_node(content->second);
      check(expected, node);
      visit_({expected.id, content->second, node, expected.in_base});
      for (std::size_t i = 0; i < node.children.size(); ++i) {
        const TreeNode::Child& child = node.children[i];
        const auto level = static_cast<std::uint8_t>(node.level - 1);
        const std::optional<ChunkId> in_base = base_.node_at(child.first_key, level);
        if (in_base == child.node) continue;
        const auto end = i + 1 < node.children.size() ? std::optional(node.children[i + 1].first_key) : expected.end;
        below.push_back({child.node, level, child.first_key, end, child.entries, in_base});
        if (below.size() == batch_max) walk(std::exchange(below, {}));
      }
    }
    walk(std::move(below));
  }

 private:
  static void check(const Expected& expected, const TreeNode& node) {
    if (node.level != expected.level) throw_bad_tree("a node of the wrong level");
    std::uint64_t entries = node.entries.size();  // the sum cannot wrap: parse_tree_node looked
    for (const TreeNode::Child& child : node.children) entries += child.entries;
    if (entries != expected.entries) throw_bad_tree("a node with another number of entries");
    const Bytes& first = node.level == 0 ? node.entries.front().key : node.children.front().first_key;
    const Bytes& last = node.level == 0 ? node.entries.back().key : node.children.back().first_key;
    if (expected.first_key && first != *expected.first_key) throw_bad_tree("a node of another place");
    if (expected.end && tree::compare_keys(last, *expected.end) >= 0)
      throw_bad_tree("a node reaches into its neighbour");
  }

  ChunkSource& source_;
  BaseWalk base_;
  const Visit& visit_;
};

}  // namespace

void visit_new_nodes(const TreeRoot& tree, ChunkSource& source, const TreeRoot& base, ChunkSource& base_source,
                     const std::function<void(const NewNode&)>& visit) {
  if (tree.levels == 0) return;
  if (tree.levels > limits::tree_depth_max) throw_bad_tree("a bad number of levels");
  if (tree.levels == base.levels && tree.node == base.node) return;
  // A tree that shrank may have for its root what is an inner node of the base: only the walk below finds it.
  const auto in_base = tree.levels == base.levels ? std::optional(base.node) : std::nullopt;
  const auto level = static_cast<std::uint8_t>(tree.levels - 1);
  NewNodesWalk(source, base, base_source, visit)
      .walk({{tree.node, level, std::nullopt, std::nullopt, tree.entries, in_base}});
}

}  // namespace vmferry
