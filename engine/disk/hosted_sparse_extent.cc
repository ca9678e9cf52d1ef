// Hosted sparse extents: monolithicSparse, twoGbMaxExtentSparse, and streamOptimized with its compressed grains.
#include <algorithm>
#include <array>
#include <string>

#include "engine/disk/deflate.h"
#include "engine/disk/grain_cache.h"
#include "engine/disk/grain_extent.h"
#include "engine/disk/sparse_header.h"
#include "engine/disk/vmdk_sector.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::disk {
namespace {

GrainLayout layout_of(const SourceFile& file, const SparseHeader& header, std::uint64_t size_bytes) {
  if (header.grain_sectors > grain_bytes_max / vmdk_sector_bytes)
    throw Error(ErrorCode::malformed, "cannot read a sparse extent", file.path().string(),
                "its grains have " + std::to_string(header.grain_sectors) + " sectors");
  GrainLayout layout;
  layout.size_bytes = size_bytes;
  layout.grain_bytes = header.grain_sectors * vmdk_sector_bytes;
  layout.table_entries = header.table_entries;
  layout.directory_offset = checked_mul(header.directory_sector, vmdk_sector_bytes, "a grain directory's place");
  expect_capacity(file, size_bytes, header.capacity_sectors, layout.grain_bytes);
  if (header.table_entries != 0 && layout.grain_bytes != 0) {
    const std::uint64_t covers = layout.grain_bytes * header.table_entries;
    layout.directory_entries = (size_bytes + covers - 1) / covers;
  }
  return layout;
}

class HostedSparseExtent : public GrainExtent {
 public:
  HostedSparseExtent(std::shared_ptr<const SourceFile> file, const SparseHeader& header, std::uint64_t size_bytes,
                     const ExtentCaches& caches)
      : GrainExtent(file, layout_of(*file, header, size_bytes), caches),
        zeroed_grains_((header.flags & SparseHeader::flag_zeroed_grains) != 0) {}

 protected:
  std::optional<std::uint64_t> table_offset(std::uint64_t directory_entry) const override {
    if (directory_entry == 0) return std::nullopt;
    return directory_entry * vmdk_sector_bytes;
  }
  Grain grain(std::uint64_t table_entry) const override {
    if (table_entry == 0) return {};
    if (table_entry == 1) {
      if (!zeroed_grains_) malformed("a grain lies in its header");
      return {.kind = Piece::Kind::zeros};
    }
    return {.kind = Piece::Kind::data, .file_offset = table_entry * vmdk_sector_bytes};
  }

 private:
  bool zeroed_grains_;
};

// A grain is a marker (its first sector in the extent, its length) and a zlib stream.
class StreamOptimizedExtent final : public HostedSparseExtent {
 public:
  StreamOptimizedExtent(std::shared_ptr<const SourceFile> file, const SparseHeader& header, std::uint64_t size_bytes,
                        const ExtentCaches& caches)
      : HostedSparseExtent(file, header, size_bytes, caches), grains_(caches.grains) {}

  void read(const Piece& piece, std::uint64_t offset, std::span<std::byte> into) const override {
    const std::uint64_t within = offset % layout().grain_bytes;
    const std::uint64_t begin = offset - within;
    if (within == 0 && into.size() == layout().grain_bytes) {
      inflate(piece.file_offset, begin, into);
      return;
    }
    auto whole = grains_->find(file(), piece.file_offset);
    if (!whole) {
      auto fresh = std::make_shared<Bytes>(layout().grain_bytes);
      inflate(piece.file_offset, begin, *fresh);
      whole = std::move(fresh);
      grains_->put(file(), piece.file_offset, whole);
    }
    std::ranges::copy(std::span(*whole).subspan(within, into.size()), into.begin());
  }

 protected:
  bool grains_join() const noexcept override { return false; }

 private:
  void inflate(std::uint64_t marker_offset, std::uint64_t begin, std::span<std::byte> into) const {
    std::array<std::byte, 12> raw{};
    file().read(marker_offset, raw);
    ByteReader marker(raw, "a grain's marker");
    const std::uint64_t first_sector = marker.u64();
    const std::uint32_t length = marker.u32();
    if (first_sector != begin / vmdk_sector_bytes) malformed("a compressed grain is not the one its table says");
    if (length == 0 || length > layout().grain_bytes * 2 + 4096) malformed("a compressed grain is too large");
    thread_local Bytes deflated;
    if (deflated.size() < length) deflated.resize(length);
    const auto view = std::span(deflated).first(length);
    file().read(marker_offset + raw.size(), view);
    const std::optional<std::size_t> got = inflate_grain(view, into);
    // The disk's last grain may hold only what the disk has.
    const std::uint64_t needed = std::min(layout().grain_bytes, layout().size_bytes - begin);
    if (!got || *got < needed) malformed("a compressed grain is damaged");
    std::ranges::fill(into.subspan(*got), std::byte{0});
  }

  std::shared_ptr<GrainCache> grains_;
};

}  // namespace

std::unique_ptr<Extent> open_hosted_sparse_extent(std::shared_ptr<const SourceFile> file, std::uint64_t size_bytes,
                                                  const ExtentCaches& caches) {
  const SparseHeader header = read_sparse_header(*file);
  if (!header.compressed()) return std::make_unique<HostedSparseExtent>(std::move(file), header, size_bytes, caches);
  if (header.compression != SparseHeader::deflate_algorithm || (header.flags & SparseHeader::flag_markers) == 0)
    throw Error(ErrorCode::unsupported, "cannot read a compressed extent", file->path().string(),
                "its compression is not the one of streamOptimized disks");
  return std::make_unique<StreamOptimizedExtent>(std::move(file), header, size_bytes, caches);
}

}  // namespace vmferry::disk
