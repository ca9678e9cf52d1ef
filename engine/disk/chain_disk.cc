#include "engine/disk/chain_disk.h"

#include <algorithm>
#include <string>
#include <utility>

#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::disk {
namespace {

// extent_at joins what it can cheaply: so many pieces at most.
constexpr int joined_pieces_max = 64;

}  // namespace

const Link::PlacedExtent& Link::extent_of(std::uint64_t offset) const {
  return *std::ranges::upper_bound(extents, offset, {}, &PlacedExtent::end);
}

ChainDisk::ChainDisk(std::vector<Link> links, DiskDescription description, std::vector<DiskFile> files)
    : links_(std::move(links)), description_(std::move(description)), files_(std::move(files)) {}

void ChainDisk::read(std::uint64_t offset, std::span<std::byte> into) const {
  if (!range_fits(offset, into.size(), size_bytes()))
    throw Error(ErrorCode::malformed, "a read past the end of a disk", description_.file_name,
                std::to_string(into.size()) + " bytes at " + std::to_string(offset) + " of " +
                    std::to_string(size_bytes()));
  read_link(0, offset, into);
}

void ChainDisk::read_link(std::size_t link, std::uint64_t offset, std::span<std::byte> into) const {
  while (!into.empty()) {
    if (link == links_.size() || offset >= links_[link].size_bytes) {
      std::ranges::fill(into, std::byte{0});
      return;
    }
    const Link::PlacedExtent& placed = links_[link].extent_of(offset);
    const std::uint64_t within = offset - placed.begin;
    const Piece piece =
        placed.extent->locate(within, std::min<std::uint64_t>(into.size(), placed.end - offset), false);
    const auto part = into.first(static_cast<std::size_t>(piece.length));
    switch (piece.kind) {
      case Piece::Kind::data: placed.extent->read(piece, within, part); break;
      case Piece::Kind::zeros: std::ranges::fill(part, std::byte{0}); break;
      case Piece::Kind::absent: read_link(link + 1, offset, part); break;
    }
    into = into.subspan(part.size());
    offset += part.size();
  }
}

DiskExtent ChainDisk::extent_at(std::uint64_t offset) const {
  if (offset >= size_bytes())
    throw Error(ErrorCode::malformed, "a question past the end of a disk", description_.file_name);
  Told told = tell(offset, size_bytes() - offset);
  for (int i = 1; i < joined_pieces_max && offset + told.length < size_bytes(); ++i) {
    const Told next = tell(offset + told.length, size_bytes() - offset - told.length);
    if (next.hole != told.hole) break;
    told.length += next.length;
  }
  return {.range = {.offset = offset, .length = told.length}, .hole = told.hole};
}

ChainDisk::Told ChainDisk::tell(std::uint64_t offset, std::uint64_t length_max) const {
  for (const Link& link : links_) {
    if (offset >= link.size_bytes) return {.hole = true, .length = length_max};
    const Link::PlacedExtent& placed = link.extent_of(offset);
    const Piece piece =
        placed.extent->locate(offset - placed.begin, std::min(length_max, placed.end - offset), true);
    length_max = piece.length;
    if (piece.kind != Piece::Kind::absent) return {.hole = piece.kind == Piece::Kind::zeros, .length = length_max};
  }
  return {.hole = true, .length = length_max};
}

}  // namespace vmferry::disk
