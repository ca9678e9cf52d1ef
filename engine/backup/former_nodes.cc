#include "engine/backup/former_nodes.h"

#include <algorithm>

#include "engine/backup/former_cuts.h"

namespace vmferry::backup {
namespace {

constexpr std::size_t nodes_max = 4;
constexpr std::size_t recent_max = 16;

}  // namespace

void FormerNodes::add(const ChunkId& id, DeltaRun& run) {
  auto found = std::find_if(recent_.begin(), recent_.end(), [&](const auto& recent) { return recent.first == id; });
  if (found == recent_.end()) {
    auto content = nodes_.local(id);
    if (!content) return;
    if (recent_.size() == recent_max) recent_.pop_front();
    recent_.emplace_back(id, std::make_shared<const Bytes>(std::move(*content)));
    found = std::prev(recent_.end());
  }
  run.basis.push_back({id, 0, found->second});
}

RunPointer FormerNodes::basis_of(ByteView node) try {
  node_.parse(node);
  const std::uint8_t level = node_.level();
  if (level >= former_.levels || node_.size() == 0) return nullptr;
  auto run = std::make_shared<DeltaRun>();
  if (level + 1 == former_.levels) {
    add(former_.node, *run);
  } else {
    path_.descend(node_.key(0), static_cast<std::uint8_t>(level + 1));
    const tree::FlatNode& parent = path_.node();
    const std::size_t after = parent.upper_bound(node_.key(0));
    const std::size_t last = parent.upper_bound(node_.key(node_.size() - 1));
    for (std::size_t i = after == 0 ? 0 : after - 1; i < std::max<std::size_t>(last, 1) && run->basis.size() < nodes_max; ++i)
      add(parent.child(i), *run);
  }
  return run->basis.empty() ? nullptr : run;
} catch (const Error& error) {
  throw_former_unreadable(error);
}

}  // namespace vmferry::backup
