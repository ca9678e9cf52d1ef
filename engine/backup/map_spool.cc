#include "engine/backup/map_spool.h"

namespace vmferry::backup {

void MapSpool::add(const MapEntry& slice) { sorter_.add(slice); }

TreeRoot MapSpool::write(DiskLayout& layout, std::uint64_t disk_bytes, const DomainKey& key,
                         const TreeBuilder::EmitNode& emit) {
  ImageMapWriter writer(key, emit);
  sorter_.rewind();
  std::optional<MapEntry> slice = sorter_.next();
  layout.skipped([&](const ByteRange& range, MapKind kind) {
    for (; slice && slice->disk.offset < range.offset; slice = sorter_.next()) writer.add(*slice);
    writer.add(MapEntry{range, kind, {}, 0});
  });
  for (; slice; slice = sorter_.next()) writer.add(*slice);
  return writer.finish(disk_bytes);
}

}  // namespace vmferry::backup
