#include "engine/restore/tree_check.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::restore {
namespace {

constexpr std::size_t nodes_checked_at_once = 64;

class Check {
 public:
  Check(ChunkSource& source, const std::function<void(const TreeEntry&)>& visit,
        const std::function<void(const std::string&)>& damage)
      : source_(source), visit_(visit), damage_(damage) {}

  TreeCheck run(const TreeRoot& root) {
    if (root.levels == 0) {
      if (root.entries != 0) damage_("an empty tree counts entries");
    } else if (root.levels > limits::tree_depth_max) {
      damage_("a tree is too deep");
    } else {
      read_nodes({TreeNode::Child{{}, root.node, root.entries}}, static_cast<std::uint8_t>(root.levels - 1), true, {});
    }
    return result_;
  }

 private:
  struct Read {
    TreeNode node;
    bool is_there = false;
  };

  // upper: what all keys are below; empty: no bound.
  void read_nodes(const std::vector<TreeNode::Child>& children, std::uint8_t level, bool is_root, const Bytes& upper) {
    for (std::size_t begin = 0; begin < children.size(); begin += nodes_checked_at_once) {
      const std::size_t end = std::min(children.size(), begin + nodes_checked_at_once);
      std::unordered_map<ChunkId, Read> nodes;
      std::vector<ChunkId> ids;
      for (std::size_t i = begin; i < end; ++i)
        if (nodes.try_emplace(children[i].node).second) ids.push_back(children[i].node);
      fetch(ids, nodes);
      for (std::size_t i = begin; i < end; ++i) {
        Read& read = nodes.at(children[i].node);
        if (!read.is_there) continue;
        check_node(read.node, children[i], level, is_root, i + 1 < children.size() ? children[i + 1].first_key : upper);
      }
    }
  }

  void fetch(const std::vector<ChunkId>& ids, std::unordered_map<ChunkId, Read>& nodes) {
    const auto use = [&](const ChunkId& id, ByteView content) {
      Read& read = nodes.at(id);
      if (read.is_there) return;
      ++result_.nodes;
      result_.node_bytes += content.size();
      try {
        read.node = parse_tree_node(content);
        read.is_there = true;
      } catch (const Error& error) {
        damage_("node " + id.to_string() + ": " + error.what());
      }
    };
    try {
      source_.get(ids, use);
      return;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::damaged) throw;
    }
    // One of them is broken: which?
    for (const ChunkId& id : ids) {
      if (nodes.at(id).is_there) continue;
      try {
        source_.get(std::span(&id, 1), use);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::damaged) throw;
        damage_("node " + id.to_string() + ": " + error.what());
      }
    }
  }

  void check_node(const TreeNode& node, const TreeNode::Child& child, std::uint8_t level, bool is_root,
                  const Bytes& upper) {
    const std::string name = "node " + child.node.to_string();
    if (node.level != level) return damage_(name + " has the wrong level");
    if (node.children.empty() && node.entries.empty()) return damage_(name + " is empty");
    const Bytes& first = level > 0 ? node.children.front().first_key : node.entries.front().key;
    const Bytes& last = level > 0 ? node.children.back().first_key : node.entries.back().key;
    // Nothing below a node in a wrong place is looked at: a hostile tree could name it again and again.
    if (!is_root && first != child.first_key) return damage_(name + " does not begin where its parent says");
    if (!upper.empty() && !std::lexicographical_compare(last.begin(), last.end(), upper.begin(), upper.end()))
      return damage_(name + " reaches into its neighbour");
    if (level > 0) return read_nodes(node.children, static_cast<std::uint8_t>(level - 1), false, upper);
    if (node.entries.size() != child.entries) damage_(name + " has another number of entries than its parent says");
    for (const TreeEntry& entry : node.entries) {
      ++result_.entries;
      visit_(entry);
    }
  }

  ChunkSource& source_;
  const std::function<void(const TreeEntry&)>& visit_;
  const std::function<void(const std::string&)>& damage_;
  TreeCheck result_;
};

}  // namespace

TreeCheck check_tree(const TreeRoot& root, ChunkSource& source, const std::function<void(const TreeEntry&)>& visit,
                     const std::function<void(const std::string&)>& damage) {
  return Check(source, visit, damage).run(root);
}

}  // namespace vmferry::restore
