// GrainExtent: what all sparse kinds share: a grain directory whose entries lead to grain tables, whose
// entries lead to grains. A kind says what its entries mean.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/disk/extent.h"

namespace vmferry::disk {

// In bytes and entries; checked by GrainExtent's constructor against the file and each other.
struct GrainLayout {
  std::uint64_t size_bytes = 0;        // of the extent
  std::uint64_t grain_bytes = 0;       // a power of two
  std::uint64_t table_entries = 0;     // grains per table
  std::uint64_t directory_offset = 0;  // in the file
  std::uint64_t directory_entries = 0;
  unsigned entry_bytes = 4;            // of tables and the directory
};

inline constexpr std::uint64_t grain_bytes_max = 8 * 1024 * 1024;

class GrainExtent : public Extent {
 public:
  GrainExtent(std::shared_ptr<const SourceFile> file, const GrainLayout& layout, const ExtentCaches& caches);

  Piece locate(std::uint64_t offset, std::uint64_t length_max, bool ask_host) const override;
  void read(const Piece& piece, std::uint64_t offset, std::span<std::byte> into) const override;

 protected:
  struct Grain {
    Piece::Kind kind = Piece::Kind::absent;
    std::uint64_t file_offset = 0;  // of data
  };
  // A table's offset in the file; none where the directory has none: its grains are absent.
  virtual std::optional<std::uint64_t> table_offset(std::uint64_t directory_entry) const = 0;
  virtual Grain grain(std::uint64_t table_entry) const = 0;
  // Whether grains that lie side by side in the file can be read as one.
  virtual bool grains_join() const noexcept { return true; }

  [[noreturn]] void malformed(std::string why) const;
  const SourceFile& file() const noexcept { return *file_; }
  const GrainLayout& layout() const noexcept { return layout_; }

 private:
  std::shared_ptr<const SourceFile> file_;
  GrainLayout layout_;
  std::shared_ptr<TableCache> tables_;
};

// Throws Error{malformed} unless the descriptor's size and the header's agree (the header's may be rounded up to
// a grain).
void expect_capacity(const SourceFile& file, std::uint64_t size_bytes, std::uint64_t capacity_sectors,
                     std::uint64_t grain_bytes);

}  // namespace vmferry::disk
