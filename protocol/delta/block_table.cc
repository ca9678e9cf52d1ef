#include "protocol/delta/block_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace vmferry::delta {
namespace {

constexpr std::size_t probes_max = 16;
constexpr int filter_bits_log_min = 10;
constexpr int filter_bits_log_max = 20;  // 128 KiB: stays in the second-level cache

}  // namespace

bool BasisBlock::has(const StrongSum& sum) const noexcept {
  return std::memcmp(strong.data(), sum.data(), strong.size()) == 0;
}

void BlockTable::build(std::span<const BasisBlock> blocks) {
  blocks_ = blocks;
  const int block_log = static_cast<int>(std::bit_width(blocks.size()));
  const int filter_log = std::clamp(block_log + 4, filter_bits_log_min, filter_bits_log_max);
  filter_shift_ = static_cast<unsigned>(32 - filter_log);
  filter_.assign((std::size_t{1} << filter_log) / 32, 0);
  slot_shift_ = static_cast<unsigned>(32 - (block_log + 1));
  slots_.assign(std::size_t{1} << (block_log + 1), Slot{});
  for (std::uint32_t block = 0; block < blocks.size(); ++block) {
    const std::uint32_t bit = blocks[block].weak >> filter_shift_;
    filter_[bit / 32] |= std::uint32_t{1} << (bit % 32);
    insert(block);
  }
}

// The weak sum's own bits are no good hash where blocks differ in few bytes: mix them.
std::size_t BlockTable::first_slot(std::uint32_t weak) const noexcept {
  return static_cast<std::uint32_t>(weak * 0x9e3779b1U) >> slot_shift_;
}

void BlockTable::insert(std::uint32_t block) {
  const BasisBlock& added = blocks_[block];
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = first_slot(added.weak);
  for (std::size_t probe = 0; probe < probes_max; ++probe, slot = (slot + 1) & mask) {
    if (slots_[slot].block == 0) {
      slots_[slot] = {added.weak, block + 1};
      return;
    }
    if (slots_[slot].weak != added.weak) continue;
    if (std::ranges::equal(blocks_[slots_[slot].block - 1].strong, added.strong)) return;
  }
}

bool BlockTable::has(std::uint32_t weak) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = first_slot(weak);
  for (std::size_t probe = 0; probe < probes_max && slots_[slot].block != 0; ++probe, slot = (slot + 1) & mask)
    if (slots_[slot].weak == weak) return true;
  return false;
}

std::optional<std::size_t> BlockTable::find(std::uint32_t weak, const StrongSum& strong) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = first_slot(weak);
  for (std::size_t probe = 0; probe < probes_max && slots_[slot].block != 0; ++probe, slot = (slot + 1) & mask)
    if (slots_[slot].weak == weak && blocks_[slots_[slot].block - 1].has(strong)) return slots_[slot].block - 1;
  return std::nullopt;
}

std::optional<std::size_t> BlockTable::at(std::int64_t from) const noexcept {
  const auto place = [](const BasisBlock& block) { return std::int64_t{block.from}; };
  const auto found = std::ranges::lower_bound(blocks_, from, {}, place);
  if (found == blocks_.end() || found->from != from) return std::nullopt;
  return static_cast<std::size_t>(found - blocks_.begin());
}

}  // namespace vmferry::delta
