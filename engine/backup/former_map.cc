#include "engine/backup/former_map.h"

#include <algorithm>

#include "protocol/error.h"

namespace vmferry::backup {
namespace {

[[noreturn]] void fail(const char* why) {
  throw Error(ErrorCode::malformed, "cannot read the former point's image map", {}, why);
}

}  // namespace

FormerMap::FormerMap(TreeRoot root, std::uint64_t disk_bytes, NodeSource& nodes, std::size_t cache_bytes)
    : root_(root), disk_bytes_(disk_bytes), nodes_(nodes), cache_bytes_max_(cache_bytes) {}
FormerMap::~FormerMap() = default;

FormerMap::NodePointer FormerMap::load(const ChunkId& id, std::uint8_t level, std::span<const ChunkId> siblings) {
  const auto found = cache_.find(id);
  if (found != cache_.end()) {
    if (found->second.node->level != level) fail("a node has the wrong level");
    by_age_.splice(by_age_.begin(), by_age_, found->second.age);
    return found->second.node;
  }
  const TreeNode parsed = parse_tree_node(nodes_.node(id, siblings));
  if (parsed.level != level) fail("a node has the wrong level");
  auto node = std::make_shared<Node>();
  node->level = level;
  for (const TreeEntry& entry : parsed.entries) node->entries.push_back(decode_map_entry(entry.key, entry.value));
  for (const TreeNode::Child& child : parsed.children) {
    node->first.push_back(ByteReader(child.first_key, "an image map's key").u64_big_endian());
    node->children.push_back(child.node);
  }
  if (node->entries.empty() && node->children.empty()) fail("a node is empty");
  cache_bytes_ += node->bytes();
  by_age_.push_front(id);
  cache_.emplace(id, Cached{node, by_age_.begin()});
  while (cache_bytes_ > cache_bytes_max_ && by_age_.size() > 1) {
    const auto oldest = cache_.find(by_age_.back());
    cache_bytes_ -= oldest->second.node->bytes();
    cache_.erase(oldest);
    by_age_.pop_back();
  }
  return node;
}

FormerMap::NodePointer FormerMap::leaf_for(std::uint64_t offset) {
  if (root_.levels == 0) fail("it is empty");
  auto level = static_cast<std::uint8_t>(root_.levels - 1);
  NodePointer node = load(root_.node, level, {});
  while (level > 0) {
    const auto after = std::upper_bound(node->first.begin(), node->first.end(), offset);
    if (after == node->first.begin()) fail("it has a gap");
    const auto child = static_cast<std::size_t>(after - node->first.begin()) - 1;
    node = load(node->children[child], --level, node->children);
  }
  return node;
}

MapEntry FormerMap::at(std::uint64_t offset) {
  const auto holds = [&](std::size_t i) {
    return i < leaf_->entries.size() && leaf_->entries[i].disk.offset <= offset && offset < leaf_->entries[i].disk.end();
  };
  if (!leaf_ || !(holds(leaf_at_) || holds(++leaf_at_))) {
    leaf_ = leaf_for(offset);
    const auto after = std::upper_bound(leaf_->entries.begin(), leaf_->entries.end(), offset,
                                        [](std::uint64_t a, const MapEntry& b) { return a < b.disk.offset; });
    if (after == leaf_->entries.begin()) fail("it has a gap");
    leaf_at_ = static_cast<std::size_t>(after - leaf_->entries.begin()) - 1;
    if (!holds(leaf_at_)) fail("it has a gap");
  }
  MapEntry entry = leaf_->entries[leaf_at_];
  const std::uint64_t skipped = offset - entry.disk.offset;
  entry.disk.offset += skipped;
  entry.disk.length -= skipped;
  if (entry.kind == MapKind::data) entry.chunk_offset = checked_add(entry.chunk_offset, static_cast<std::uint32_t>(skipped), "a slice of a chunk");
  return entry;
}

}  // namespace vmferry::backup
