#include <algorithm>
#include <string>
#include <utility>

#include "engine/disk/extent.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::disk {
namespace {

class FlatExtent final : public Extent {
 public:
  FlatExtent(std::shared_ptr<const SourceFile> file, std::uint64_t file_offset)
      : file_(std::move(file)), file_offset_(file_offset) {}

  Piece locate(std::uint64_t offset, std::uint64_t length_max, bool ask_host) const override {
    Piece piece{.kind = Piece::Kind::data, .length = length_max, .file_offset = file_offset_ + offset};
    if (!ask_host) return piece;
    const SourceFile::Stretch stretch = file_->stretch_at(piece.file_offset);
    if (stretch.hole) piece.kind = Piece::Kind::zeros;
    piece.length = std::min(length_max, stretch.end - piece.file_offset);
    return piece;
  }

  void read(const Piece& piece, std::uint64_t, std::span<std::byte> into) const override {
    file_->read(piece.file_offset, into);
  }

 private:
  std::shared_ptr<const SourceFile> file_;
  std::uint64_t file_offset_;
};

class ZeroExtent final : public Extent {
 public:
  Piece locate(std::uint64_t, std::uint64_t length_max, bool) const override {
    return {.kind = Piece::Kind::zeros, .length = length_max};
  }
  void read(const Piece&, std::uint64_t, std::span<std::byte> into) const override {
    std::ranges::fill(into, std::byte{0});
  }
};

}  // namespace

std::unique_ptr<Extent> open_flat_extent(std::shared_ptr<const SourceFile> file, std::uint64_t file_offset,
                                         std::uint64_t size_bytes) {
  if (!range_fits(file_offset, size_bytes, file->size_bytes()))
    throw Error(ErrorCode::malformed, "an extent's file is shorter than its descriptor says", file->path().string(),
                "it has " + std::to_string(file->size_bytes()) + " bytes, and " + std::to_string(size_bytes) +
                    " are wanted from byte " + std::to_string(file_offset));
  return std::make_unique<FlatExtent>(std::move(file), file_offset);
}

std::unique_ptr<Extent> open_zero_extent() { return std::make_unique<ZeroExtent>(); }

}  // namespace vmferry::disk
