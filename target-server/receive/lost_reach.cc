#include "target-server/receive/lost_reach.h"

#include <algorithm>

#include "protocol/error.h"
#include "protocol/image_map.h"
#include "target-server/receive/tree_walk.h"

namespace vmferry::target_server {
namespace {

struct Found {};  // thrown to end the walk

std::uint64_t entries_of(const RestorePoint& point) {
  std::uint64_t entries = 0;
  const auto add = [&](const TreeRoot& tree) { entries += std::min(tree.entries, walked_entries_max); };
  for (const PointDisk& disk : point.disks) {
    add(disk.image_map);
    for (const PointVolume& volume : disk.volumes) add(volume.file_index);
  }
  return entries;
}

void walk(store::Store& store, const RestorePoint& point, std::span<const ChunkId> lost) {
  const auto check = [&](const ChunkId& id) {
    if (std::ranges::binary_search(lost, id)) throw Found{};
  };
  const std::unique_ptr<ChunkSource> source = store.chunk_source();
  TreeEvents events;
  events.lost = [](const ChunkId&, const auto&, const auto&, const std::string&) { throw Found{}; };
  events.same_as_base = [](ByteView, const std::optional<Bytes>&) {};
  for (const PointFile& file : point.files) std::ranges::for_each(file.chunks, check);
  for (const PointDisk& disk : point.disks) {
    events.leaf = [&](const TreeNode& leaf) {
      for (const TreeEntry& raw : leaf.entries) {
        const MapEntry entry = decode_map_entry(raw.key, raw.value);
        if (entry.kind == MapKind::data) check(entry.chunk);
      }
    };
    walk_tree(disk.image_map, {}, store, *source, events);
    events.leaf = [](const TreeNode&) {};
    for (const PointVolume& volume : disk.volumes)
      if (volume.cracked) walk_tree(volume.file_index, {}, store, *source, events);
  }
}

}  // namespace

bool reaches_lost(store::Store& store, const RestorePoint& point, std::span<const ChunkId> lost) {
  if (entries_of(point) > walked_entries_max) return true;
  try {
    walk(store, point, lost);
  } catch (const Found&) {
    return true;
  } catch (const Error&) {
    return true;
  }
  return false;
}

}  // namespace vmferry::target_server
