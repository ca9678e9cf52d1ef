// FormerPoint: the base point that a backup is made against: finds the former version of a disk, a volume, a stream,
// and says which tree nodes are known to be at the target because the base point names them. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

#include "engine/backup/former_cuts.h"
#include "engine/backup/former_map.h"
#include "engine/backup/former_names.h"
#include "engine/backup/layout.h"
#include "engine/backup/node_source.h"
#include "protocol/point.h"

namespace vmferry::backup {

class FormerRecords;

// A disk of the base point, beside the same disk of today.
class FormerDisk {
 public:
  FormerDisk(const PointDisk& disk, NodeSource& nodes);
  ~FormerDisk();

  // The former version of a stream: null where there is none. For a stream by place, give its pieces to `by_place`
  // (not null then) as they become known. Streams of a volume must come in the walker's order.
  struct Stream {
    std::unique_ptr<FormerCuts> cuts;
    FormerPlaceCuts* by_place = nullptr;
  };
  Stream stream(const StreamInfo& info, const std::vector<LayoutVolume>& volumes);

  // Files of a volume (its partition's number) whose former version has another reference.
  void set_references(std::uint32_t partition, FormerReferences references);

 private:
  std::vector<ByteRange> former_ranges(const StreamInfo& info, const PointVolume& volume);

  const PointDisk& disk_;
  NodeSource& nodes_;
  FormerMap map_;
  std::map<std::uint32_t, std::unique_ptr<FormerRecords>> records_;  // by partition number
  std::map<std::uint32_t, FormerReferences> references_;             // likewise
};

// The ids of all nodes of some trees, as far as they fit.
class KnownNodes {
 public:
  // Reads inner nodes only: they name the leaves.
  void add_tree(const TreeRoot& root, NodeSource& nodes);
  bool contains(const ChunkId& id) const { return ids_.contains(id); }

 private:
  void add_below(const ChunkId& id, std::uint8_t level, std::span<const ChunkId> siblings, NodeSource& nodes);

  static constexpr std::size_t ids_max = 1 << 19;
  std::unordered_set<ChunkId> ids_;
};

// The volume in this partition. Null where there is none.
const PointVolume* former_volume_of(const PointDisk& disk, std::uint32_t partition);

// The disk of `point` that is the same disk: by UUID, else by key. Null where there is none.
const PointDisk* former_disk_of(const RestorePoint& point, const Uuid& disk_uuid, const std::string& key);

}  // namespace vmferry::backup
