#include "protocol/tree_path.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::tree {
namespace {

// Children fetched in one batch while one walks on: it grows from the first, so a short walk fetches little.
constexpr std::size_t window_growth = 4;
constexpr std::size_t window_max = 128;

[[noreturn]] void throw_bad_path(std::string_view why) {
  throw Error(ErrorCode::malformed, "cannot read a tree", {}, std::string(why));
}

}  // namespace

TreePath::TreePath(const TreeRoot& root, ChunkSource& source, TreeWalk walk)
    : root_(root), source_(source), window_min_(walk == TreeWalk::onwards ? window_max : 1), window_(window_min_) {}

void TreePath::load_root() {
  if (root_.levels == 0 || root_.levels > limits::tree_depth_max) throw_bad_path("a bad number of levels");
  Step step;
  step.node.parse(get_chunk(source_, root_.node));
  check(step, static_cast<std::uint8_t>(root_.levels - 1));
  if (step.node.entries_sum() != root_.entries) throw_bad_path("a root with another number of entries");
  steps_.push_back(std::move(step));
}

void TreePath::check(const Step& step, std::uint8_t level) const {
  if (step.node.level() != level) throw_bad_path("a node of the wrong level");
  if (step.upper && compare_keys(step.node.key(step.node.size() - 1), *step.upper) >= 0)
    throw_bad_path("a node reaches into its neighbour");
}

void TreePath::descend(ByteView key, std::uint8_t level) {
  if (steps_.empty()) load_root();
  window_ = window_min_;
  const std::size_t depth = static_cast<std::size_t>(root_.levels - 1 - level);
  if (steps_.size() > depth + 1) steps_.resize(depth + 1);
  for (std::size_t i = 0; i < depth; ++i) {
    const std::size_t after = steps_[i].node.upper_bound(key);
    const std::size_t at = after == 0 ? 0 : after - 1;
    if (i + 1 < steps_.size()) {
      if (steps_[i].at == at) continue;
      steps_.resize(i + 1);
    }
    push_child(at, window_min_);
  }
}

bool TreePath::next_node() {
  const std::size_t depth = steps_.size() - 1;
  // Up to where there is a next child, then down along first children.
  std::size_t up = depth;
  while (up > 0 && steps_[up - 1].at + 1 == steps_[up - 1].node.size()) --up;
  if (up == 0) return false;
  steps_.resize(up);
  window_ = std::min(window_ * window_growth, window_max);
  push_child(steps_.back().at + 1, window_);
  while (steps_.size() <= depth) push_child(0, window_);
  return true;
}

void TreePath::push_child(std::size_t at, std::size_t window) {
  Step& parent = steps_.back();
  parent.at = at;
  const Bytes content = take_child(parent, at, window);
  Step child;
  child.node.parse(content);
  if (at + 1 < parent.node.size()) {
    const ByteView bound = parent.node.key(at + 1);
    child.upper.emplace(bound.begin(), bound.end());
  } else {
    child.upper = parent.upper;
  }
  check(child, static_cast<std::uint8_t>(parent.node.level() - 1));
  if (compare_keys(child.node.key(0), parent.node.key(at)) != 0) throw_bad_path("a node of another place");
  if (child.node.entries_sum() != parent.node.entries(at)) throw_bad_path("a node with another number of entries");
  steps_.push_back(std::move(child));
}

Bytes TreePath::take_child(Step& parent, std::size_t at, std::size_t window) {
  while (!parent.ahead.empty() && parent.ahead.front().first < at) parent.ahead.pop_front();
  if (parent.ahead.empty() || parent.ahead.front().first != at) {
    parent.ahead.clear();
    const std::size_t count = std::min(window, parent.node.size() - at);
    std::vector<ChunkId> ids;
    std::unordered_map<ChunkId, std::size_t> index;
    for (std::size_t i = at; i < at + count; ++i) {
      const ChunkId id = parent.node.child(i);
      if (!index.emplace(id, i).second) throw_bad_path("a node is named twice");
      ids.push_back(id);
    }
    std::vector<std::optional<Bytes>> got(count);
    source_.get(ids, [&](const ChunkId& id, ByteView content) {
      if (const auto found = index.find(id); found != index.end())
        got[found->second - at].emplace(content.begin(), content.end());
    });
    for (std::size_t i = 0; i < count; ++i) {
      if (!got[i]) throw Error(ErrorCode::damaged, "a tree node is missing", ids[i].to_string());
      parent.ahead.emplace_back(at + i, std::move(*got[i]));
    }
  }
  Bytes content = std::move(parent.ahead.front().second);
  parent.ahead.pop_front();
  return content;
}

}  // namespace vmferry::tree
