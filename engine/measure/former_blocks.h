// FormerBlocks: the sums of a disk's blocks, and which of them a stretch of another disk is equal to. Of blocks with
// equal content only the last is kept: rsync's --inplace may copy from it as long as nothing was written over it, which
// the last one outlives. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/disk/disk.h"

namespace vmferry::measure {

// The two halves of rsync's rolling sum (not its encoding), in one number: the sum of the bytes, and that of its sums.
struct RollingSum {
  std::uint32_t bytes = 0, sums = 0;

  static RollingSum of(ByteView block) noexcept;
  void roll(std::byte out, std::byte in, std::uint32_t block_bytes) noexcept {
    bytes += std::to_integer<std::uint32_t>(in) - std::to_integer<std::uint32_t>(out);
    sums += bytes - block_bytes * std::to_integer<std::uint32_t>(out);
  }
  // Spread over all bits.
  std::uint64_t mixed() const noexcept {
    return (std::uint64_t{sums} << 32 | bytes) * 0x9e37'79b9'7f4a'7c15U;
  }
};

class FormerBlocks {
 public:
  FormerBlocks(const disk::Disk& disk, std::uint32_t block_bytes, const std::function<void(std::uint64_t)>& tick);

  std::uint64_t disk_bytes() const noexcept { return disk_bytes_; }
  std::uint32_t block_bytes() const noexcept { return block_bytes_; }
  std::uint64_t full_blocks() const noexcept { return full_sums_.size(); }
  std::uint32_t last_bytes() const noexcept { return last_bytes_; }  // of the block after those, 0 where there is none

  static std::uint64_t strong_sum(ByteView block) noexcept;
  // Block `index` has this content.
  bool is(std::uint64_t index, std::uint64_t strong) const noexcept { return full_sums_[index] == strong; }
  bool last_is(std::uint64_t strong) const noexcept { return last_sum_ == strong; }
  bool is_zero(std::uint64_t index) const noexcept { return full_sums_[index] == zero_sum_; }

  // Whether some block may have this sum.
  bool may_have(std::uint64_t mixed) const noexcept {
    const std::uint64_t bit = mixed >> filter_shift_;
    return (filter_[bit / 64] >> (bit % 64) & 1) != 0;
  }
  bool has_rolling(RollingSum sum) const noexcept;
  // Whether a block of this content can still be copied from when the output has been written up to `offset`.
  bool can_copy(RollingSum sum, std::uint64_t strong, std::uint64_t offset) const noexcept;
  // The block of this content that lies at its old place stays there.
  void keep(RollingSum sum, std::uint64_t strong) noexcept;
  void keep_zero() noexcept { keep({}, zero_sum_); }

 private:
  struct Content {
    std::uint64_t rolling = 0;  // mixed
    std::uint64_t strong = 0;
    std::uint32_t last = 0;     // 1 + its place; 0: an empty slot
    bool kept = false;
  };
  void add(RollingSum rolling, std::uint64_t strong, std::uint64_t index);
  std::size_t first_slot(std::uint64_t mixed) const noexcept { return mixed >> slot_shift_; }
  std::size_t find(std::uint64_t mixed, std::uint64_t strong) const noexcept;

  const std::uint64_t disk_bytes_;
  const std::uint32_t block_bytes_;
  std::vector<std::uint64_t> full_sums_;  // strong
  std::uint32_t last_bytes_ = 0;
  std::uint64_t last_sum_ = 0;
  std::uint64_t zero_sum_ = 0;
  std::vector<std::uint64_t> filter_;
  unsigned filter_shift_ = 0;
  std::vector<Content> contents_;
  unsigned slot_shift_ = 0;
};

// Whether [offset, offset + length) of the disk was never written.
bool is_hole(const disk::Disk& disk, std::uint64_t offset, std::uint64_t length);

}  // namespace vmferry::measure
