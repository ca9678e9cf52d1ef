#include "protocol/delta/matcher.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "protocol/delta/block_table.h"
#include "protocol/delta/refine.h"
#include "protocol/delta/sum_kernel.h"
#include "protocol/limits.h"

namespace vmferry::delta {
namespace {

// Tiles grow while nothing is found, and what was rolled past a match is thrown away: begin small.
constexpr std::size_t first_tile = 128;

std::uint32_t weak_of_entry(const std::byte* entry) {
  std::uint32_t weak = 0;
  for (std::size_t i = 0; i < weak_sum_bytes; ++i) weak = weak << 8 | std::to_integer<std::uint32_t>(entry[i]);
  return weak;
}

}  // namespace

void append_joined(std::vector<Copy>& copies, const Copy& copy) {
  if (!copies.empty()) {
    Copy& last = copies.back();
    if (last.at + last.length == copy.at && last.from + last.length == copy.from) {
      last.length += copy.length;
      return;
    }
  }
  copies.push_back(copy);
}

struct Matcher::State {
  const SumKernel& kernel = fastest_kernel();
  ByteView content;
  std::vector<Copy> copies;
  std::vector<Copy> next_copies;
  std::vector<BasisBlock> blocks;
  std::vector<std::uint32_t> block_lengths;
  BlockTable table;
  WeakRoll roll;
  WeakHits hits;
  std::uint32_t seed_part = 0;
  bool table_built = false;
  std::int64_t wrong_bytes_left = 0;

  void find_in_place(const BasisPart& part, std::uint32_t part_from);
  void untangle();
  void roll_between(std::span<const BasisPart> basis, std::uint32_t block_bytes);
  void build_table(std::span<const BasisPart> basis);
  void roll_gap(std::uint32_t begin, std::uint32_t end);
  std::optional<std::size_t> block_like(std::uint32_t at, std::uint32_t weak);
  std::uint32_t copy_from(std::size_t block, std::uint32_t at, std::uint32_t end);

  std::uint32_t weak_at(std::uint32_t at) const {
    return kernel.weak(content.data() + at, roll.block_bytes) + seed_part;
  }
  void set_block_bytes(std::uint32_t block_bytes) {
    roll.set_block_bytes(block_bytes);
    seed_part = weak_seed * roll.power;
  }
};

Matcher::Matcher() : state_(std::make_unique<State>()) {}
Matcher::~Matcher() = default;
Matcher::Matcher(Matcher&&) noexcept = default;

std::span<const Copy> Matcher::match(ByteView content, std::span<const BasisPart> basis) {
  State& state = *state_;
  state.content = content;
  state.copies.clear();
  state.block_lengths.clear();
  std::size_t basis_bytes = 0;
  for (const BasisPart& part : basis) basis_bytes += part.signature.basis_bytes();
  if (content.size() > limits::delta_content_max || basis_bytes > limits::delta_basis_max)
    throw std::logic_error("more content or basis than a delta may have");

  std::uint32_t from = 0;
  for (const BasisPart& part : basis) {
    if (part.expected_at) state.find_in_place(part, from);
    from += part.signature.basis_bytes();
    if (part.signature.blocks() != 0) state.block_lengths.push_back(part.signature.parameters.block_bytes);
  }
  state.untangle();

  // Longer blocks first: what they find is found cheaper.
  std::ranges::sort(state.block_lengths, std::greater{});
  state.block_lengths.erase(std::unique(state.block_lengths.begin(), state.block_lengths.end()), state.block_lengths.end());
  for (const std::uint32_t block_bytes : state.block_lengths) state.roll_between(basis, block_bytes);
  refine(content, basis, state.copies);
  return state.copies;
}

// Strong sums cost five times the weak ones: they are made of blocks whose weak sum is right, many at once.
void Matcher::State::find_in_place(const BasisPart& part, std::uint32_t part_from) {
  const std::int64_t length = part.signature.parameters.block_bytes;
  const std::int64_t at = *part.expected_at;
  const auto content_bytes = static_cast<std::int64_t>(content.size());
  if (at >= content_bytes || at <= -std::int64_t{part.signature.basis_bytes()}) return;
  set_block_bytes(part.signature.parameters.block_bytes);
  const std::int64_t first = at >= 0 ? 0 : (-at + length - 1) / length;
  const std::int64_t last =
      std::min<std::int64_t>(static_cast<std::int64_t>(part.signature.blocks()), (content_bytes - at) / length);

  const std::byte* likely[sum_lanes_max];
  std::int64_t numbers[sum_lanes_max];
  std::size_t count = 0;
  const auto check_likely = [&] {
    if (count == 0) return;
    StrongSum sums[sum_lanes_max];
    kernel.strong(likely, count, roll.block_bytes, sums);
    for (std::size_t i = 0; i < count; ++i) {
      const std::byte* entry = part.signature.entries.data() + static_cast<std::size_t>(numbers[i]) * part.signature.entry_bytes();
      if (std::memcmp(entry + weak_sum_bytes, sums[i].data(), part.signature.parameters.strong_bytes) != 0) continue;
      append_joined(copies, {static_cast<std::uint32_t>(at + numbers[i] * length),
                             part_from + static_cast<std::uint32_t>(numbers[i] * length), static_cast<std::uint32_t>(length)});
    }
    count = 0;
  };
  for (std::int64_t number = first; number < last; ++number) {
    const auto block_at = static_cast<std::uint32_t>(at + number * length);
    const std::byte* entry = part.signature.entries.data() + static_cast<std::size_t>(number) * part.signature.entry_bytes();
    if (weak_at(block_at) != weak_of_entry(entry)) continue;
    likely[count] = content.data() + block_at;
    numbers[count++] = number;
    if (count == sum_lanes_max) check_likely();
  }
  check_likely();
}

// Parts may be expected over each other: what comes first in the content wins, the other one loses its beginning.
void Matcher::State::untangle() {
  std::ranges::stable_sort(copies, {}, &Copy::at);
  next_copies.clear();
  std::uint32_t covered = 0;
  for (Copy copy : copies) {
    if (copy.at + copy.length <= covered) continue;
    const std::uint32_t lost = covered > copy.at ? covered - copy.at : 0;
    append_joined(next_copies, {copy.at + lost, copy.from + lost, copy.length - lost});
    covered = copy.at + copy.length;
  }
  copies.swap(next_copies);
}

void Matcher::State::roll_between(std::span<const BasisPart> basis, std::uint32_t block_bytes) {
  set_block_bytes(block_bytes);
  table_built = false;
  // A weak sum that is right and a strong one that is not happens once in 2^32 positions, or by intent: then stop paying.
  wrong_bytes_left = static_cast<std::int64_t>(4 * content.size() + (1 << 20));
  next_copies.clear();
  std::uint32_t covered = 0;
  const auto fill = [&](std::uint32_t end) {
    if (end - covered < block_bytes) return;
    if (!table_built) build_table(basis);
    roll_gap(covered, end);
  };
  for (const Copy& copy : copies) {
    fill(copy.at);
    append_joined(next_copies, copy);
    covered = copy.at + copy.length;
  }
  fill(static_cast<std::uint32_t>(content.size()));
  copies.swap(next_copies);
}

void Matcher::State::build_table(std::span<const BasisPart> basis) {
  blocks.clear();
  std::uint32_t from = 0;
  for (const BasisPart& part : basis) {
    const SignatureView& signature = part.signature;
    if (signature.parameters.block_bytes == roll.block_bytes)
      for (std::size_t i = 0; i < signature.blocks(); ++i) {
        const ByteView entry = signature.entries.subspan(i * signature.entry_bytes(), signature.entry_bytes());
        blocks.push_back({weak_of_entry(entry.data()), from + static_cast<std::uint32_t>(i * roll.block_bytes),
                          entry.subspan(weak_sum_bytes)});
      }
    from += signature.basis_bytes();
  }
  table.build(blocks);
  roll.filter = table.filter();
  roll.filter_shift = table.filter_shift();
  table_built = true;
}

void Matcher::State::roll_gap(std::uint32_t begin, std::uint32_t end) {
  const auto length = static_cast<std::uint32_t>(roll.block_bytes);
  std::uint32_t at = begin;
  while (end - at >= length && wrong_bytes_left > 0) {
    std::uint32_t weak = weak_at(at);
    auto block = block_like(at, weak);
    std::size_t tile = first_tile;
    while (!block && end - at > length && wrong_bytes_left > 0) {
      const std::size_t steps = std::min<std::size_t>(tile, end - at - length);
      weak = kernel.roll(roll, content.data() + at, weak, steps, hits);
      std::uint32_t step = static_cast<std::uint32_t>(steps);
      for (std::size_t i = 0; i < hits.count && !block; ++i)
        if (block = block_like(at + hits.step[i], hits.sum[i]); block) step = hits.step[i];
      at += step;
      tile = std::min(2 * tile, roll_steps_max);
    }
    if (!block) return;
    at = copy_from(*block, at, end);
  }
}

// The basis block that equals the content's block at this place: best the one at the same distance from it as the last copy
// was (a change in place), or the one after the last copy (an insertion), then any.
std::optional<std::size_t> Matcher::State::block_like(std::uint32_t at, std::uint32_t weak) {
  if (!table.has(weak)) return std::nullopt;
  const std::byte* here = content.data() + at;
  StrongSum strong;
  kernel.strong(&here, 1, roll.block_bytes, &strong);
  if (!next_copies.empty()) {
    const Copy& last = next_copies.back();
    for (const std::int64_t from : {std::int64_t{at} - last.at + last.from, std::int64_t{last.from} + last.length})
      if (const auto block = table.at(from); block && blocks[*block].weak == weak && blocks[*block].has(strong)) return block;
  }
  const auto block = table.find(weak, strong);
  if (!block) wrong_bytes_left -= static_cast<std::int64_t>(roll.block_bytes);
  return block;
}

// Copies this block, and the following ones as far as they go; where in the content that ends.
std::uint32_t Matcher::State::copy_from(std::size_t block, std::uint32_t at, std::uint32_t end) {
  const auto length = static_cast<std::uint32_t>(roll.block_bytes);
  append_joined(next_copies, {at, blocks[block].from, length});
  at += length;
  std::size_t right = 1;
  for (std::size_t wanted = 1; right == wanted;) {
    const std::byte* likely[sum_lanes_max];
    for (wanted = 0; wanted < sum_lanes_max; ++wanted) {
      const std::size_t next = block + wanted + 1;
      const std::uint32_t next_at = at + static_cast<std::uint32_t>(wanted) * length;
      if (end - at < (wanted + 1) * length || next >= blocks.size() ||
          blocks[next].from != blocks[next - 1].from + length || blocks[next].weak != weak_at(next_at))
        break;
      likely[wanted] = content.data() + next_at;
    }
    right = 0;
    if (wanted == 0) break;
    StrongSum sums[sum_lanes_max];
    kernel.strong(likely, wanted, length, sums);
    while (right < wanted && blocks[block + right + 1].has(sums[right])) ++right;
    if (right != 0) append_joined(next_copies, {at, blocks[block + 1].from, static_cast<std::uint32_t>(right) * length});
    at += static_cast<std::uint32_t>(right) * length;
    block += right;
  }
  // Content that repeats itself needs no sums at all.
  while (end - at >= length && std::memcmp(content.data() + at, content.data() + at - length, length) == 0) {
    append_joined(next_copies, {at, blocks[block].from, length});
    at += length;
  }
  return at;
}

}  // namespace vmferry::delta
