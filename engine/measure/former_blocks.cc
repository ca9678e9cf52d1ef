#include "engine/measure/former_blocks.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "protocol/chunk_id.h"

namespace vmferry::measure {
namespace {

constexpr std::size_t former_read_bytes = 4u << 20;
constexpr std::uint64_t filter_bits_per_block = 16;

// The bits of an index into a table of at least `entries`, at least 10.
unsigned index_bits(std::uint64_t entries) {
  return std::max(10U, static_cast<unsigned>(std::bit_width(entries)));
}

}  // namespace

bool is_hole(const disk::Disk& disk, std::uint64_t offset, std::uint64_t length) {
  for (const std::uint64_t end = offset + length; offset < end;) {
    const disk::DiskExtent extent = disk.extent_at(offset);
    if (!extent.hole) return false;
    offset = extent.range.end();
  }
  return true;
}

RollingSum RollingSum::of(ByteView block) noexcept {
  RollingSum sum;
  for (const std::byte byte : block) {
    sum.bytes += std::to_integer<std::uint32_t>(byte);
    sum.sums += sum.bytes;
  }
  return sum;
}

std::uint64_t FormerBlocks::strong_sum(ByteView block) noexcept {
  const auto hash = blake3_of(block);
  std::uint64_t sum;
  std::memcpy(&sum, hash.data(), sizeof sum);
  return sum;
}

FormerBlocks::FormerBlocks(const disk::Disk& disk, std::uint32_t block_bytes,
                           const std::function<void(std::uint64_t)>& tick)
    : disk_bytes_(disk.size_bytes()), block_bytes_(block_bytes) {
  const std::uint64_t blocks = disk_bytes_ / block_bytes;
  const unsigned filter_bits = index_bits(blocks * filter_bits_per_block);
  filter_.resize((std::size_t{1} << filter_bits) / 64);
  filter_shift_ = 64 - filter_bits;
  const unsigned slot_bits = index_bits(blocks + blocks / 2);
  contents_.resize(std::size_t{1} << slot_bits);
  slot_shift_ = 64 - slot_bits;
  full_sums_.reserve(static_cast<std::size_t>(blocks));

  const std::size_t blocks_per_read = std::max<std::size_t>(1, former_read_bytes / block_bytes);
  Bytes buffer(blocks_per_read * block_bytes);
  zero_sum_ = strong_sum(ByteView(buffer).first(block_bytes));
  for (std::uint64_t at = 0; at < disk_bytes_;) {
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), disk_bytes_ - at));
    const bool hole = is_hole(disk, at, length);
    if (!hole) disk.read(at, std::span(buffer).first(length));
    for (std::size_t from = 0; from < length; from += block_bytes) {
      const ByteView block = ByteView(buffer).subspan(from, std::min<std::size_t>(block_bytes, length - from));
      if (block.size() == block_bytes) {
        add(hole ? RollingSum{} : RollingSum::of(block), hole ? zero_sum_ : strong_sum(block), full_sums_.size());
      } else {
        last_bytes_ = static_cast<std::uint32_t>(block.size());
        if (hole) std::fill(buffer.begin(), buffer.end(), std::byte{0});
        last_sum_ = strong_sum(block);
      }
    }
    at += length;
    tick(at);
  }
}

std::size_t FormerBlocks::find(std::uint64_t mixed, std::uint64_t strong) const noexcept {
  std::size_t at = first_slot(mixed);
  while (contents_[at].last != 0 && (contents_[at].rolling != mixed || contents_[at].strong != strong))
    at = (at + 1) & (contents_.size() - 1);
  return at;
}

void FormerBlocks::add(RollingSum rolling, std::uint64_t strong, std::uint64_t index) {
  const std::uint64_t mixed = rolling.mixed();
  full_sums_.push_back(strong);
  const std::uint64_t bit = mixed >> filter_shift_;
  filter_[bit / 64] |= std::uint64_t{1} << (bit % 64);
  contents_[find(mixed, strong)] = {mixed, strong, static_cast<std::uint32_t>(index + 1), false};
}

bool FormerBlocks::has_rolling(RollingSum sum) const noexcept {
  const std::uint64_t mixed = sum.mixed();
  for (std::size_t at = first_slot(mixed); contents_[at].last != 0; at = (at + 1) & (contents_.size() - 1))
    if (contents_[at].rolling == mixed) return true;
  return false;
}

bool FormerBlocks::can_copy(RollingSum sum, std::uint64_t strong, std::uint64_t offset) const noexcept {
  const Content& content = contents_[find(sum.mixed(), strong)];
  return content.last != 0 && (content.kept || (content.last - 1) * std::uint64_t{block_bytes_} >= offset);
}

void FormerBlocks::keep(RollingSum sum, std::uint64_t strong) noexcept {
  Content& content = contents_[find(sum.mixed(), strong)];
  if (content.last != 0) content.kept = true;
}

}  // namespace vmferry::measure
