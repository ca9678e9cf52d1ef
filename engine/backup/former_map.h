// FormerMap: the image map of a base point's disk, for lookups all over the disk: decoded leaves are kept in a bounded
// cache (files lie where they like, so a cursor with one leaf would decode each of them many times). One thread.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/backup/node_source.h"
#include "protocol/image_map.h"

namespace vmferry::backup {

class FormerMap {
 public:
  FormerMap(TreeRoot root, std::uint64_t disk_bytes, NodeSource& nodes, std::size_t cache_bytes);
  ~FormerMap();

  std::uint64_t disk_bytes() const noexcept { return disk_bytes_; }
  // The entry that holds `offset`, clipped to begin there. offset < disk_bytes(). Throws Error{malformed} where the map
  // has a gap, and what the node source throws.
  MapEntry at(std::uint64_t offset);

 private:
  struct Node {
    std::uint8_t level = 0;
    std::vector<MapEntry> entries;          // of a leaf
    std::vector<std::uint64_t> first;       // of an inner node: each child's first offset
    std::vector<ChunkId> children;
    std::size_t bytes() const noexcept { return entries.size() * sizeof(MapEntry) + children.size() * 40 + 200; }
  };
  using NodePointer = std::shared_ptr<const Node>;
  struct Cached {
    NodePointer node;
    std::list<ChunkId>::iterator age;
  };

  NodePointer load(const ChunkId& id, std::uint8_t level, std::span<const ChunkId> siblings);
  NodePointer leaf_for(std::uint64_t offset);

  TreeRoot root_;
  std::uint64_t disk_bytes_;
  NodeSource& nodes_;
  std::size_t cache_bytes_max_;
  std::size_t cache_bytes_ = 0;
  std::unordered_map<ChunkId, Cached> cache_;
  std::list<ChunkId> by_age_;  // the last used first
  NodePointer leaf_;           // the last one used: most lookups are next to the one before
  std::size_t leaf_at_ = 0;
};

}  // namespace vmferry::backup
