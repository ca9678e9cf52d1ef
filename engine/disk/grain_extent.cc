#include "engine/disk/grain_extent.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "engine/disk/vmdk_sector.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::disk {

GrainExtent::GrainExtent(std::shared_ptr<const SourceFile> file, const GrainLayout& layout, const ExtentCaches& caches)
    : file_(std::move(file)), layout_(layout), tables_(caches.tables) {
  if (!std::has_single_bit(layout_.grain_bytes) || layout_.grain_bytes < vmdk_sector_bytes ||
      layout_.grain_bytes > grain_bytes_max)
    malformed("its grains have " + std::to_string(layout_.grain_bytes) + " bytes");
  if (layout_.table_entries == 0 || layout_.table_entries > 65536)
    malformed("its grain tables have " + std::to_string(layout_.table_entries) + " entries");
  if (layout_.size_bytes == 0 || layout_.size_bytes > limits::disk_bytes_max)
    malformed("its size is " + std::to_string(layout_.size_bytes) + " bytes");
  // No product below can wrap: sizes are at most 2^46, grains 2^23, tables 2^16 entries.
  const std::uint64_t table_covers = layout_.grain_bytes * layout_.table_entries;
  const std::uint64_t entries_needed = (layout_.size_bytes + table_covers - 1) / table_covers;
  if (layout_.directory_entries < entries_needed) malformed("its grain directory is too small for its size");
  if (!range_fits(layout_.directory_offset, entries_needed * layout_.entry_bytes, file_->size_bytes()))
    malformed("its grain directory lies outside the file");
}

Piece GrainExtent::locate(std::uint64_t offset, std::uint64_t length_max, bool) const {
  TableReader reader(*tables_, *file_);
  const std::uint64_t first_grain = offset / layout_.grain_bytes;
  const std::uint64_t within = offset % layout_.grain_bytes;
  const std::uint64_t end_grain = (offset + length_max + layout_.grain_bytes - 1) / layout_.grain_bytes;
  const auto piece_to = [&](const Grain& first, std::uint64_t grain_after) {
    return Piece{.kind = first.kind,
                 .length = std::min(length_max, grain_after * layout_.grain_bytes - offset),
                 .file_offset = first.kind == Piece::Kind::data && grains_join() ? first.file_offset + within
                                                                                  : first.file_offset};
  };

  std::uint64_t directory_index = first_grain / layout_.table_entries;
  const auto directory_entry = [&] {
    return table_offset(reader.entry(layout_.directory_offset + directory_index * layout_.entry_bytes,
                                     layout_.entry_bytes));
  };
  const std::optional<std::uint64_t> table = directory_entry();
  if (!table) {
    // A new disk is mostly absent tables: they are told as one, up to a bound that keeps this call short.
    const std::uint64_t last = std::min((end_grain - 1) / layout_.table_entries, directory_index + 4096);
    while (directory_index < last) {
      ++directory_index;
      if (directory_entry()) return piece_to({}, directory_index * layout_.table_entries);
    }
    return piece_to({}, (directory_index + 1) * layout_.table_entries);
  }

  const auto table_entry = [&](std::uint64_t index) {
    return grain(reader.entry(*table + index * layout_.entry_bytes, layout_.entry_bytes));
  };
  const std::uint64_t table_first_grain = directory_index * layout_.table_entries;
  const std::uint64_t stop = std::min(end_grain, table_first_grain + layout_.table_entries);
  const Grain first = table_entry(first_grain - table_first_grain);
  std::uint64_t next = first_grain + 1;
  for (; next < stop; ++next) {
    if (first.kind == Piece::Kind::data && !grains_join()) break;
    const Grain other = table_entry(next - table_first_grain);
    if (other.kind != first.kind) break;
    if (first.kind == Piece::Kind::data &&
        other.file_offset != first.file_offset + (next - first_grain) * layout_.grain_bytes)
      break;
  }
  return piece_to(first, next);
}

void GrainExtent::read(const Piece& piece, std::uint64_t, std::span<std::byte> into) const {
  file_->read(piece.file_offset, into);
}

void GrainExtent::malformed(std::string why) const {
  throw Error(ErrorCode::malformed, "cannot read a sparse extent", file_->path().string(), std::move(why));
}

void expect_capacity(const SourceFile& file, std::uint64_t size_bytes, std::uint64_t capacity_sectors,
                     std::uint64_t grain_bytes) {
  if (capacity_sectors <= limits::disk_bytes_max / vmdk_sector_bytes) {
    const std::uint64_t capacity = capacity_sectors * vmdk_sector_bytes;
    if (capacity >= size_bytes && capacity - size_bytes < std::max(grain_bytes, std::uint64_t{1})) return;
  }
  throw Error(ErrorCode::malformed, "an extent's header and its descriptor differ in size", file.path().string(),
              std::to_string(capacity_sectors) + " and " + std::to_string(size_bytes / vmdk_sector_bytes) + " sectors");
}

}  // namespace vmferry::disk
