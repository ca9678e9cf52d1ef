#include "target-server/replicate/new_content.h"

#include <unordered_set>

#include "protocol/error.h"
#include "protocol/image_map.h"

namespace vmferry::target_server {
namespace {

// The chunks that the base's map has in a range of the disk.
class BaseChunks {
 public:
  BaseChunks(const PointDisk* base, ChunkSource& source) {
    if (base != nullptr && base->image_map.levels != 0) reader_.emplace(base->image_map, base->size_bytes, source);
  }

  const std::unordered_set<ChunkId>& within(std::uint64_t begin, std::uint64_t end) {
    ids_.clear();
    try {
      for (auto entry = at(begin); entry && entry->disk.offset < end; entry = reader_->next())
        if (entry->kind == MapKind::data) ids_.insert(entry->chunk);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::unreachable) throw;
      reader_.reset();  // it cannot be read: what was seen of it is there all the same
    }
    return ids_;
  }

 private:
  std::optional<MapEntry> at(std::uint64_t offset) { return reader_ ? reader_->at(offset) : std::nullopt; }

  std::optional<ImageMapReader> reader_;
  std::unordered_set<ChunkId> ids_;
};

// The same disk, as the commit's check finds it: by UUID, else by its place in the machine.
const PointDisk* disk_of(const RestorePoint* base, const PointDisk& disk) {
  if (base == nullptr) return nullptr;
  for (const PointDisk& candidate : base->disks)
    if (disk.uuid.is_none() ? candidate.key == disk.key : candidate.uuid == disk.uuid) return &candidate;
  return nullptr;
}

TreeRoot index_of(const PointDisk* base, const PointVolume& volume) {
  if (base == nullptr) return {};
  for (const PointVolume& candidate : base->volumes)
    if (candidate.cracked && candidate.partition == volume.partition) return candidate.file_index;
  return {};
}

void visit_disk(const PointDisk& disk, ChunkSource& source, const PointDisk* base, ChunkSource& base_source,
                const NewContent& visit) {
  for (const PointVolume& volume : disk.volumes)
    if (volume.cracked)
      visit_new_nodes(volume.file_index, source, index_of(base, volume), base_source,
                      [&](const NewNode& node) { visit.node(node.id, node.content); });

  BaseChunks known(base, base_source);
  visit_new_nodes(disk.image_map, source, base != nullptr ? base->image_map : TreeRoot{}, base_source,
                  [&](const NewNode& node) {
                    visit.node(node.id, node.content);
                    if (node.node.level != 0) return;
                    std::vector<MapEntry> entries;
                    for (const TreeEntry& raw : node.node.entries) entries.push_back(decode_map_entry(raw.key, raw.value));
                    const auto& in_base = known.within(entries.front().disk.offset, entries.back().disk.end());
                    for (const MapEntry& entry : entries)
                      if (entry.kind == MapKind::data && !in_base.contains(entry.chunk)) visit.chunk(entry.chunk);
                  });
}

}  // namespace

void visit_new_content(const RestorePoint& point, ChunkSource& source, const RestorePoint* base,
                       ChunkSource& base_source, const NewContent& visit) {
  std::unordered_set<ChunkId> in_base_files;
  if (base != nullptr)
    for (const PointFile& file : base->files) in_base_files.insert(file.chunks.begin(), file.chunks.end());
  for (const PointFile& file : point.files)
    for (const ChunkId& id : file.chunks)
      if (!in_base_files.contains(id)) visit.chunk(id);
  for (const PointDisk& disk : point.disks) visit_disk(disk, source, disk_of(base, disk), base_source, visit);
}

}  // namespace vmferry::target_server
