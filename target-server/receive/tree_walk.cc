#include "target-server/receive/tree_walk.h"

#include <algorithm>
#include <unordered_map>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::target_server {
namespace {

constexpr std::size_t batch_max = 64;

[[noreturn]] void throw_bad_tree(const char* why) {
  throw Error(ErrorCode::malformed, "a tree of the point is not one", {}, why);
}

bool before(ByteView a, ByteView b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

// What the base has where. Keeps the path of inner nodes that it looked along last.
class BaseTree {
 public:
  BaseTree(const TreeRoot& root, ChunkSource& source) : root_(root), source_(source) {
    if (root_.levels > limits::tree_depth_max) root_ = {};
  }

  struct Place {
    ChunkId node;
    std::optional<Bytes> end;
  };
  // The base's node at this level that covers the key. nullopt where there is none, or the base cannot be read: then
  // everything counts as new, and is checked.
  std::optional<Place> at(ByteView key, std::uint8_t level) {
    if (level >= root_.levels) return std::nullopt;
    try {
      Place place{root_.node, std::nullopt};
      for (std::size_t depth = 0; root_.levels - 1u - depth > level; ++depth) {
        const TreeNode& node = load(depth, place.node);
        const auto after = std::ranges::upper_bound(node.children, key, before, &TreeNode::Child::first_key);
        if (after == node.children.begin()) return std::nullopt;
        if (after != node.children.end()) place.end = after->first_key;
        place.node = std::prev(after)->node;
      }
      return place;
    } catch (const Error&) {
      root_ = {};
      return std::nullopt;
    }
  }

 private:
  const TreeNode& load(std::size_t depth, const ChunkId& id) {
    if (depth < path_.size() && path_[depth].first == id) return path_[depth].second;
    path_.resize(std::min(depth, path_.size()));
    path_.emplace_back(id, parse_tree_node(get_chunk(source_, id)));
    return path_.back().second;
  }

  TreeRoot root_;
  ChunkSource& source_;
  std::vector<std::pair<ChunkId, TreeNode>> path_;
};

class Walk {
 public:
  struct Expected {
    ChunkId id;
    std::uint8_t level = 0;
    std::optional<Bytes> first_key;  // none: the root
    std::optional<Bytes> end;        // its keys are less
    std::uint64_t entries = 0;
  };

  Walk(const TreeRoot& base, store::Store& store, ChunkSource& source, const TreeEvents& events)
      : base_(base, source), store_(store), source_(source), events_(events) {}

  // Visits nodes of one level that lie side by side, each with all below it.
  void visit(const std::vector<Expected>& nodes) {
    std::vector<ChunkId> ids;
    for (const Expected& node : nodes) ids.push_back(node.id);
    const std::vector<bool> present = store_.contains(ids);
    std::vector<ChunkId> readable;
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (present[i]) readable.push_back(ids[i]);
    std::unordered_map<ChunkId, std::string> broken;
    const std::unordered_map<ChunkId, Bytes> contents = read(readable, broken);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const auto content = contents.find(ids[i]);
      if (content != contents.end())
        visit(nodes[i], content->second);
      else
        events_.lost(ids[i], nodes[i].first_key, nodes[i].end, present[i] ? broken[ids[i]] : std::string());
    }
  }

 private:
  std::unordered_map<ChunkId, Bytes> read(const std::vector<ChunkId>& ids,
                                          std::unordered_map<ChunkId, std::string>& broken) {
    std::unordered_map<ChunkId, Bytes> contents;
    const auto keep = [&](const ChunkId& id, ByteView content) { contents[id].assign(content.begin(), content.end()); };
    if (ids.empty()) return contents;
    try {
      source_.get(ids, keep);
    } catch (const Error&) {  // find which
      for (const ChunkId& id : ids) {
        if (contents.contains(id)) continue;
        try {
          source_.get(std::span(&id, 1), keep);
        } catch (const Error& error) {
          broken[id] = error.what();
        }
      }
    }
    return contents;
  }

  void visit(const Expected& expected, ByteView content) {
    const TreeNode node = parse_tree_node(content);
    check(expected, node);
    events_.node_read(expected.id, content.size());
    if (node.level == 0) return events_.leaf(node);
    const auto child_level = static_cast<std::uint8_t>(node.level - 1);
    std::vector<Expected> batch;
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      const TreeNode::Child& child = node.children[i];
      const auto in_base = base_.at(child.first_key, child_level);
      if (in_base && in_base->node == child.node) {
        flush(batch);
        events_.same_as_base(child.first_key, in_base->end);
        continue;
      }
      const auto end = i + 1 < node.children.size() ? std::optional(node.children[i + 1].first_key) : expected.end;
      batch.push_back({child.node, child_level, child.first_key, end, child.entries});
      if (batch.size() == batch_max) flush(batch);
    }
    flush(batch);
  }

  void flush(std::vector<Expected>& batch) {
    if (!batch.empty()) visit(batch);
    batch.clear();
  }

  // A node can only stand where its keys belong, so no subtree is ever visited twice.
  static void check(const Expected& expected, const TreeNode& node) {
    if (node.level != expected.level) throw_bad_tree("a node is of the wrong level");
    if (node.entries.empty() && node.children.empty()) throw_bad_tree("a node is empty");
    std::uint64_t entries = node.entries.size();
    for (const TreeNode::Child& child : node.children)
      if (__builtin_add_overflow(entries, child.entries, &entries)) throw_bad_tree("a count of entries is too large");
    if (entries != expected.entries) throw_bad_tree("a node has another number of entries than its parent says");
    const Bytes& first = node.level == 0 ? node.entries.front().key : node.children.front().first_key;
    const Bytes& last = node.level == 0 ? node.entries.back().key : node.children.back().first_key;
    if (expected.first_key && first != *expected.first_key) throw_bad_tree("a node belongs to another place");
    if (expected.end && !before(last, *expected.end)) throw_bad_tree("a node reaches into its neighbour");
  }

  BaseTree base_;
  store::Store& store_;
  ChunkSource& source_;
  const TreeEvents& events_;
};

}  // namespace

void walk_tree(const TreeRoot& tree, const TreeRoot& base, store::Store& store, ChunkSource& source,
               const TreeEvents& events) {
  if (tree.levels == 0) {
    if (tree.entries != 0) throw_bad_tree("an empty tree has entries");
    return;
  }
  if (tree.levels > limits::tree_depth_max) throw_bad_tree("it has too many levels");
  Walk(base, store, source, events)
      .visit({{tree.node, static_cast<std::uint8_t>(tree.levels - 1), std::nullopt, std::nullopt, tree.entries}});
}

}  // namespace vmferry::target_server
