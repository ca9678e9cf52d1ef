#include "engine/measure/rsync_model.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/measure/former_blocks.h"
#include "protocol/chunker.h"

namespace vmferry::measure {
namespace {

constexpr std::uint32_t block_bytes_min = 700, block_bytes_max = 1u << 17;
constexpr std::uint64_t token_bytes = 4;
constexpr std::uint64_t piece_bytes_max = 32u << 10;  // a longer run of literals goes in pieces, each with its length
constexpr std::size_t window_read_bytes = 4u << 20;

// A disk read from front to back: view() may only move forward.
class Window {
 public:
  Window(const disk::Disk& disk, std::size_t ahead_bytes) : disk_(disk), buffer_(ahead_bytes + window_read_bytes) {}

  // At least `length` bytes from `offset` on, as many as are at hand; to the disk's end at most.
  ByteView view(std::uint64_t offset, std::size_t length) {
    length = static_cast<std::size_t>(std::min<std::uint64_t>(length, disk_.size_bytes() - offset));
    if (offset < begin_ || offset + length > begin_ + filled_) fill(offset);
    const auto from = static_cast<std::size_t>(offset - begin_);
    return ByteView(buffer_).subspan(from, filled_ - from);
  }
  std::uint64_t read_up_to() const noexcept { return begin_ + filled_; }

 private:
  void fill(std::uint64_t offset) {
    std::size_t left = 0;
    if (offset >= begin_ && offset < begin_ + filled_) {
      const auto from = static_cast<std::size_t>(offset - begin_);
      left = filled_ - from;
      std::memmove(buffer_.data(), buffer_.data() + from, left);
    }
    begin_ = offset;
    const auto more = static_cast<std::size_t>(
        std::min<std::uint64_t>(buffer_.size() - left, disk_.size_bytes() - offset - left));
    disk_.read(offset + left, std::span(buffer_).subspan(left, more));
    filled_ = left + more;
  }

  const disk::Disk& disk_;
  Bytes buffer_;
  std::uint64_t begin_ = 0;
  std::size_t filled_ = 0;
};

// rsync's search: at each place either a block of the former disk begins there, or one byte is literal.
class Search {
 public:
  Search(FormerBlocks& former, const disk::Disk& present, const Tick& tick)
      : former_(former),
        present_(present),
        length_(present.size_bytes()),
        block_(former.block_bytes()),
        window_(present, 3 * std::size_t{block_}),
        tick_(tick) {}

  RsyncBytes run() {
    while (offset_ + block_ <= length_) {
      if (now_and_then_++ % 64 == 0) tick_(offset_);
      if (!match_in_place()) roll();
    }
    match_last();
    literals_up_to(length_);
    return found_;
  }

 private:
  bool in_place() const { return offset_ % block_ == 0 && offset_ / block_ < former_.full_blocks(); }

  // Most of a disk is where it was: then nothing rolls.
  bool match_in_place() {
    if (!in_place()) return false;
    const std::uint64_t index = offset_ / block_;
    if (former_.is_zero(index) && is_hole(present_, offset_, block_)) {
      former_.keep_zero();
      matched(block_);
      return true;
    }
    const ByteView block = window_.view(offset_, block_).first(block_);
    const std::uint64_t strong = FormerBlocks::strong_sum(block);
    if (!former_.is(index, strong)) return false;
    former_.keep(RollingSum::of(block), strong);
    matched(block_);
    return true;
  }

  // Moves forward byte by byte until a block matches, or the bytes at hand end.
  void roll() {
    const ByteView bytes = window_.view(offset_, 3 * std::size_t{block_});
    RollingSum sum = RollingSum::of(bytes.first(block_));
    const std::size_t last = bytes.size() - block_;
    for (std::size_t at = 0;; ++at) {
      if (former_.may_have(sum.mixed()) && former_.has_rolling(sum) &&
          match(sum, bytes.subspan(at, block_), offset_ + at))
        return;
      if (at == last) {
        offset_ += at + 1;
        return;
      }
      sum.roll(bytes[at], bytes[at + block_], block_);
    }
  }

  bool match(RollingSum sum, ByteView block, std::uint64_t at) {
    const std::uint64_t strong = FormerBlocks::strong_sum(block);
    if (!former_.can_copy(sum, strong, at)) return false;
    offset_ = at;
    if (in_place()) {
      if (former_.is(offset_ / block_, strong)) former_.keep(sum, strong);
    } else if (sum.bytes == 0) {
      return realign_zeros();
    }
    matched(block_);
    return true;
  }

  // Zeros are equal anywhere: rsync goes on at the next whole block, if both disks have zeros there.
  bool realign_zeros() {
    const std::uint64_t aligned = (offset_ + block_ - 1) / block_ * block_;
    if (aligned + block_ <= length_ && aligned / block_ < former_.full_blocks() && former_.is_zero(aligned / block_)) {
      const auto gap = static_cast<std::size_t>(aligned - offset_);
      const ByteView ahead = window_.view(offset_, gap + block_);
      if (all_zero(ahead.subspan(gap, block_))) {
        former_.keep_zero();
        offset_ = aligned;
      }
    }
    matched(block_);
    return true;
  }

  // The former disk's last block is shorter, and equal only to the present disk's end.
  void match_last() {
    const std::uint32_t last = former_.last_bytes();
    if (last == 0 || length_ < last || length_ - last < literal_from_) return;
    const std::uint64_t at = length_ - last;
    if (former_.disk_bytes() - last < at) return;  // written over by then
    if (!former_.last_is(FormerBlocks::strong_sum(window_.view(at, last).first(last)))) return;
    offset_ = at;
    matched(last);
  }

  void matched(std::uint32_t bytes) {
    literals_up_to(offset_);
    found_.matched += bytes;
    found_.blocks += 1;
    offset_ += bytes;
    literal_from_ = offset_;
  }

  void literals_up_to(std::uint64_t end) {
    const std::uint64_t bytes = end - literal_from_;
    found_.literal += bytes;
    found_.pieces += (bytes + piece_bytes_max - 1) / piece_bytes_max;
    literal_from_ = end;
  }

  FormerBlocks& former_;
  const disk::Disk& present_;
  const std::uint64_t length_;
  const std::uint32_t block_;
  Window window_;
  const Tick& tick_;
  std::uint64_t offset_ = 0;
  std::uint64_t literal_from_ = 0;
  std::uint64_t now_and_then_ = 0;
  RsyncBytes found_;
};

std::uint64_t square_root(std::uint64_t value) noexcept {
  std::uint64_t root = 0;
  for (std::uint64_t bit = std::uint64_t{1} << 31; bit != 0; bit >>= 1)
    if ((root | bit) * (root | bit) <= value) root |= bit;
  return root;
}

}  // namespace

std::uint32_t rsync_block_bytes(std::uint64_t file_bytes) noexcept {
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(square_root(file_bytes) / 8 * 8, block_bytes_min, block_bytes_max));
}

// The rolling sum's 4 bytes, and as many of the strong one that a false match in the whole file is one in 2^10.
std::uint32_t rsync_sum_bytes(std::uint64_t file_bytes) noexcept {
  const int length_bits = static_cast<int>(std::bit_width(file_bytes)) - 1;
  const int block_bits = static_cast<int>(std::bit_width(rsync_block_bytes(file_bytes))) - 1;
  const int bits = 10 + 2 * std::max(0, length_bits) - block_bits;
  return 4 + static_cast<std::uint32_t>(std::clamp((bits + 1 - 32 + 7) / 8, 2, 16));
}

bool rsync_is_computable(std::uint64_t former_bytes) noexcept {
  return former_bytes / rsync_block_bytes(former_bytes) <= rsync_blocks_max;
}

RsyncBytes rsync_between(const disk::Disk& former, const disk::Disk& present, const Tick& tick) {
  const std::uint64_t former_bytes = former.size_bytes();
  if (former_bytes == 0) return rsync_first(present.size_bytes());
  const std::uint32_t block = rsync_block_bytes(former_bytes);
  FormerBlocks blocks(former, block, tick);
  RsyncBytes bytes =
      Search(blocks, present, [&](std::uint64_t read_bytes) { tick(former_bytes + read_bytes); }).run();
  bytes.sums = (former_bytes + block - 1) / block * rsync_sum_bytes(former_bytes);
  return bytes;
}

RsyncBytes rsync_first(std::uint64_t disk_bytes) noexcept {
  RsyncBytes bytes;
  bytes.literal = disk_bytes;
  bytes.pieces = (disk_bytes + piece_bytes_max - 1) / piece_bytes_max;
  return bytes;
}

Traffic rsync_traffic(const RsyncBytes& bytes) noexcept {
  constexpr unsigned round_trips = 5;  // the line, the greeting, the file list, the sums, the end
  return {bytes.literal + token_bytes * (bytes.pieces + bytes.blocks), bytes.sums, round_trips};
}

}  // namespace vmferry::measure
