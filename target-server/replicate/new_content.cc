#include "target-server/replicate/new_content.h"

#include <algorithm>
#include <unordered_set>

#include "protocol/delta_request.h"
#include "protocol/error.h"
#include "protocol/image_map.h"

namespace vmferry::target_server {
namespace {

// What the base's map has in a range of the disk.
class BaseMap {
 public:
  BaseMap(const PointDisk* base, ChunkSource& source) {
    if (base != nullptr && base->image_map.levels != 0) reader_.emplace(base->image_map, base->size_bytes, source);
  }

  void look(std::uint64_t begin, std::uint64_t end) {
    entries_.clear();
    ids_.clear();
    if (!reader_) return;
    try {
      for (auto entry = reader_->at(begin); entry && entry->disk.offset < end; entry = reader_->next()) {
        if (entry->kind != MapKind::data) continue;
        entries_.push_back(*entry);
        ids_.insert(entry->chunk);
      }
    } catch (const Error& error) {
      if (error.code() == ErrorCode::unreachable) throw;
      reader_.reset();  // it cannot be read: what was seen of it is there all the same
    }
  }

  // Both of the range that was looked at last.
  bool has(const ChunkId& id) const { return ids_.contains(id); }
  void add_overlapping(const ByteRange& disk, std::vector<ChunkId>& ids) const {
    const auto offset = [](const MapEntry& entry) { return entry.disk.offset; };
    auto entry = std::ranges::upper_bound(entries_, disk.offset, {}, offset);
    if (entry != entries_.begin() && std::prev(entry)->disk.end() > disk.offset) --entry;
    for (; entry != entries_.end() && entry->disk.offset < disk.end(); ++entry)
      if (ids.size() < wire::delta_request_basis_max && std::ranges::find(ids, entry->chunk) == ids.end())
        ids.push_back(entry->chunk);
  }

 private:
  std::optional<ImageMapReader> reader_;
  std::vector<MapEntry> entries_;
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

void visit_leaf(const TreeNode& leaf, BaseMap& base, const NewContent& visit) {
  std::vector<MapEntry> entries;
  for (const TreeEntry& raw : leaf.entries) entries.push_back(decode_map_entry(raw.key, raw.value));
  base.look(entries.front().disk.offset, entries.back().disk.end());
  for (std::size_t i = 0; i < entries.size();) {
    const MapEntry& first = entries[i];
    std::vector<ChunkId> in_base;
    do base.add_overlapping(entries[i].disk, in_base);  // a chunk may lie in several pieces, one after another
    while (++i < entries.size() && first.kind == MapKind::data && entries[i].kind == MapKind::data &&
           entries[i].chunk == first.chunk);
    if (first.kind == MapKind::data && !base.has(first.chunk)) visit.chunk(first.chunk, std::move(in_base));
  }
}

void visit_disk(const PointDisk& disk, ChunkSource& source, const PointDisk* base, ChunkSource& base_source,
                const NewContent& visit) {
  for (const PointVolume& volume : disk.volumes)
    if (volume.cracked)
      visit_new_nodes(volume.file_index, source, index_of(base, volume), base_source,
                      [&](const NewNode& node) { visit.node(node.id, node.content, node.in_base); });

  BaseMap base_map(base, base_source);
  visit_new_nodes(disk.image_map, source, base != nullptr ? base->image_map : TreeRoot{}, base_source,
                  [&](const NewNode& node) {
                    visit.node(node.id, node.content, node.in_base);
                    if (node.node.level == 0) visit_leaf(node.node, base_map, visit);
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
      if (!in_base_files.contains(id)) visit.chunk(id, {});
  for (const PointDisk& disk : point.disks) visit_disk(disk, source, disk_of(base, disk), base_source, visit);
}

}  // namespace vmferry::target_server
