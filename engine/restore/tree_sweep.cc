#include "engine/restore/tree_sweep.h"

#include <algorithm>
#include <optional>
#include <span>
#include <unordered_map>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::restore {
namespace {

// Nodes asked for in one go: bounds the memory of a level. 8 MiB: more than any line holds.
constexpr std::size_t nodes_swept_at_once = 2048;

bool less(ByteView a, ByteView b) { return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end()); }

std::vector<KeyRange> joined(std::vector<KeyRange> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const KeyRange& a, const KeyRange& b) { return less(a.first, b.first); });
  std::vector<KeyRange> result;
  for (KeyRange& range : ranges) {
    if (result.empty() || less(result.back().last, range.first)) {
      result.push_back(std::move(range));
    } else if (less(result.back().last, range.last)) {
      result.back().last = std::move(range.last);
    }
  }
  return result;
}

// A node to read, the key that it begins with (none: the root), and the key that everything in it is below (empty: no
// bound; no key below another one is empty). A node can only stand where its keys belong, so however a hostile tree
// names it again and again, it is visited once.
struct Wanted {
  ChunkId node;
  std::optional<Bytes> lower;
  Bytes upper;
};

class Sweep {
 public:
  Sweep(ChunkSource& source, std::vector<KeyRange> ranges, const std::function<void(const TreeEntry&)>& visit)
      : source_(source), ranges_(joined(std::move(ranges))), visit_(visit) {}

  void run(const TreeRoot& root) {
    if (root.levels == 0 || ranges_.empty()) return;
    if (root.levels > limits::tree_depth_max) throw Error(ErrorCode::malformed, "a tree is too deep");
    read_below({Wanted{root.node, std::nullopt, {}}}, root.levels - 1u);
  }

 private:
  // Whether a range touches keys in [lower, upper).
  bool touches(const Bytes& lower, const Bytes& upper) const {
    const auto range = std::lower_bound(ranges_.begin(), ranges_.end(), lower,
                                        [](const KeyRange& r, const Bytes& key) { return less(r.last, key); });
    return range != ranges_.end() && (upper.empty() || less(range->first, upper));
  }

  // A block of nodes and all below it, then the next: in key order, and one block of each level in memory.
  void read_below(const std::vector<Wanted>& wanted, unsigned level) {
    for (std::size_t begin = 0; begin < wanted.size(); begin += nodes_swept_at_once) {
      const auto block = std::span(wanted).subspan(begin, std::min(nodes_swept_at_once, wanted.size() - begin));
      std::vector<Wanted> below;
      read_block(block, level, below);
      if (!below.empty()) read_below(below, level - 1);
    }
  }

  void read_block(std::span<const Wanted> block, unsigned level, std::vector<Wanted>& below) {
    std::vector<ChunkId> ids;
    for (const Wanted& wanted : block) ids.push_back(wanted.node);
    std::unordered_map<ChunkId, TreeNode> nodes;
    source_.get(ids, [&](const ChunkId& id, ByteView content) { nodes.emplace(id, parse_tree_node(content)); });
    for (const Wanted& wanted : block) {
      const auto node = nodes.find(wanted.node);
      if (node == nodes.end()) throw Error(ErrorCode::damaged, "a chunk was not given", wanted.node.to_string());
      if (node->second.level != level)
        throw Error(ErrorCode::malformed, "a node of a tree has the wrong level", node->first.to_string());
      check_place(node->second, wanted);
      read_node(node->second, wanted.upper, below);
    }
  }

  static void check_place(const TreeNode& node, const Wanted& wanted) {
    if (node.children.empty() && node.entries.empty())
      throw Error(ErrorCode::malformed, "a node of a tree is empty", wanted.node.to_string());
    const bool is_leaf = node.children.empty();
    const Bytes& first = is_leaf ? node.entries.front().key : node.children.front().first_key;
    const Bytes& last = is_leaf ? node.entries.back().key : node.children.back().first_key;
    if ((wanted.lower && first != *wanted.lower) || (!wanted.upper.empty() && !less(last, wanted.upper)))
      throw Error(ErrorCode::malformed, "a node of a tree belongs to another place", wanted.node.to_string());
  }

  void read_node(const TreeNode& node, const Bytes& upper, std::vector<Wanted>& below) {
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      const Bytes& bound = i + 1 == node.children.size() ? upper : node.children[i + 1].first_key;
      if (touches(node.children[i].first_key, bound))
        below.push_back({node.children[i].node, node.children[i].first_key, bound});
    }
    for (std::size_t i = 0; i < node.entries.size(); ++i) {
      const Bytes& bound = i + 1 == node.entries.size() ? upper : node.entries[i + 1].key;
      if (touches(node.entries[i].key, bound)) visit_(node.entries[i]);
    }
  }

  ChunkSource& source_;
  const std::vector<KeyRange> ranges_;
  const std::function<void(const TreeEntry&)>& visit_;
};

}  // namespace

void sweep_tree(const TreeRoot& root, ChunkSource& source, std::vector<KeyRange> ranges,
                const std::function<void(const TreeEntry&)>& visit) {
  Sweep(source, std::move(ranges), visit).run(root);
}

}  // namespace vmferry::restore
