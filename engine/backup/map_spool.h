// MapSpool: the data slices of a disk's image map, as the chunk step makes them (in stream order), sorted on disk.
#pragma once

#include <filesystem>
#include <functional>

#include "engine/backup/layout.h"
#include "protocol/external_sort.h"
#include "protocol/image_map.h"

namespace vmferry::backup {

class MapSpool {
 public:
  MapSpool(const std::filesystem::path& directory, std::size_t memory_bytes) : sorter_(directory, memory_bytes) {}

  void add(const MapEntry& slice);
  // The whole map: these slices, and what the layout left out. Once.
  TreeRoot write(DiskLayout& layout, std::uint64_t disk_bytes, const DomainKey& key, const TreeBuilder::EmitNode& emit);

 private:
  struct ByOffset {
    bool operator()(const MapEntry& a, const MapEntry& b) const noexcept { return a.disk.offset < b.disk.offset; }
  };
  ExternalSorter<MapEntry, ByOffset> sorter_;
};

}  // namespace vmferry::backup
