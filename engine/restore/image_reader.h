// ImageReader: random access to one disk of a restore point, through its image map. What is needed soon is planned, and
// brought ahead of its reading. Memory: memory_bytes, whatever the map says. One thread.
// Throws Error{damaged} where the store does not give what the map names.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/restore/chunk_cache.h"
#include "engine/restore/readahead.h"
#include "protocol/byte_range.h"
#include "protocol/image_map.h"
#include "protocol/point.h"

namespace vmferry::restore {

class ImageReader {
 public:
  ImageReader(const PointDisk& disk, target::TargetSession& session, std::size_t memory_bytes);

  std::uint64_t size_bytes() const noexcept { return size_bytes_; }

  // What may be read of what was left out of the backup. Free clusters and excluded files read as zeros, which is
  // right for a disk, and wrong for a file: it is not what the file held (DESIGN.md, invariant 10).
  enum class LeftOut { zeros, refused };
  // Fills `into`. Throws Error{malformed} past the disk's end. Refused are excluded ranges (Error{unsupported}) and
  // free ones (Error{damaged}: a file's clusters are not free).
  void read(std::uint64_t offset, std::span<std::byte> into, LeftOut left_out = LeftOut::zeros);

  // The same for what may be needed soon: false where it is refused, damaged, or neither here nor planned.
  bool read_ahead(std::uint64_t offset, std::span<std::byte> into, LeftOut left_out = LeftOut::zeros);

  // Adds to the plan: ranges in the order in which they will be read. Ranges past the disk's end are dropped. Returns a
  // place in the plan.
  std::uint64_t plan(std::vector<ByteRange> ranges);
  // What was planned before this place will not be read any more.
  void forget_before(std::uint64_t place) { readahead_.forget_before(place); }

  // The kind that was left out at the beginning of these ranges (free or excluded), if any. Looks at the first
  // `entries_max` entries of the map only.
  std::optional<MapKind> left_out(std::span<const ByteRange> ranges, std::size_t entries_max = 256);

 private:
  bool is_near(std::uint64_t offset, std::uint64_t length);
  SharedBytes content_of(const MapEntry& entry);

  const std::uint64_t size_bytes_;
  CachingSource nodes_;
  CachingSource chunks_;
  ImageMapReader map_;
  Readahead readahead_;
};

}  // namespace vmferry::restore
