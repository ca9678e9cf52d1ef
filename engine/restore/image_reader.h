// ImageReader: random access to one disk of a restore point, through its image map. What is needed soon is planned:
// the first read that misses a planned range brings that range and those planned after it, as far as the memory
// allows, in one sweep. Memory: memory_bytes, whatever the map says. One thread.
// Throws Error{damaged} where the store does not give what the map names.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/restore/chunk_cache.h"
#include "protocol/byte_range.h"
#include "protocol/image_map.h"
#include "protocol/point.h"

namespace vmferry::restore {

class ImageReader {
 public:
  ImageReader(const PointDisk& disk, ChunkSource& chunks, std::size_t memory_bytes);

  std::uint64_t size_bytes() const noexcept { return size_bytes_; }

  // What may be read of what was left out of the backup. Free clusters and excluded files read as zeros, which is
  // right for a disk, and wrong for a file: it is not what the file held (DESIGN.md, invariant 10).
  enum class LeftOut { zeros, refused };
  // Fills `into`. Throws Error{malformed} past the disk's end. Refused are excluded ranges (Error{unsupported}) and
  // free ones (Error{damaged}: a file's clusters are not free).
  void read(std::uint64_t offset, std::span<std::byte> into, LeftOut left_out = LeftOut::zeros);

  // The same for what may be needed soon: false where it is refused, damaged, or neither here nor planned.
  bool read_ahead(std::uint64_t offset, std::span<std::byte> into, LeftOut left_out = LeftOut::zeros);

  // Replaces the plan: ranges in the order in which they will be read. Ranges past the disk's end are dropped.
  void plan(std::vector<ByteRange> ranges);
  // Brings the beginning of the plan now.
  void prefetch();

  // The kind that was left out at the beginning of these ranges (free or excluded), if any. Looks at the first
  // `entries_max` entries of the map only.
  std::optional<MapKind> left_out(std::span<const ByteRange> ranges, std::size_t entries_max = 256);

 private:
  struct Planned {
    ByteRange range;
    std::size_t position;  // in the plan
  };

  bool is_near(std::uint64_t offset, std::uint64_t length);
  SharedBytes content_of(const MapEntry& entry);
  // The position in the plan of a range that holds the offset.
  std::optional<std::size_t> planned_at(std::uint64_t offset) const;
  void sweep_from(std::size_t position, std::uint64_t offset);

  const std::uint64_t size_bytes_;
  const std::size_t window_bytes_;
  const TreeRoot root_;
  CachingSource nodes_;
  CachingSource chunks_;
  ImageMapReader map_;
  std::vector<ByteRange> plan_;
  std::vector<Planned> by_offset_;
  std::size_t single_before_ = 0;  // a sweep up to this position failed: its chunks are asked for one by one
};

}  // namespace vmferry::restore
