#include "protocol/chunker.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry {
namespace {

// A gear hash shifts left one bit a byte, so it knows the last 64 bytes only.
constexpr std::size_t window_bytes = 64;
// Normalised chunking: two bits more before the average, two less after it.
constexpr int normalisation_level = 2;
constexpr std::uint32_t average_min = 64;

std::uint64_t split_mix(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// `bits` ones, every second bit from bit 62 down: spread, so that neighbours in a window do not decide together,
// and high, so that each depends on many bytes. Bit 63 stays clear for the shift in find_cut.
std::uint64_t spread_mask(int bits) {
  std::uint64_t mask = 0;
  for (int i = 0; i < bits; ++i) mask |= std::uint64_t{1} << (62 - 2 * i);
  return mask;
}

using Gear = std::array<std::uint64_t, 256>;

// One place where the hash is rolled. Two bytes a step: the first byte's hash is looked at while it is still shifted by
// one, which takes a shift out of the chain of dependent instructions.
struct Lane {
  const std::uint8_t* data;
  std::uint64_t hash;

  // True where the hash after one of the next two bytes meets the mask; `hash` and `data` stay before them then.
  [[gnu::always_inline]] bool roll_two(const Gear& gear, std::uint64_t mask) noexcept {
    const std::uint64_t first = hash * 4 + gear[data[0]] * 2;
    const std::uint64_t second = first + gear[data[1]];
    if ((first & (mask << 1)) == 0 || (second & mask) == 0) [[unlikely]]
      return true;
    hash = second;
    data += 2;
    return false;
  }

  // The end of the first match before `end`, else null.
  const std::uint8_t* roll_to(const std::uint8_t* end, const Gear& gear, std::uint64_t mask) noexcept {
    while (data < end) {
      hash = hash * 2 + gear[*data++];
      if ((hash & mask) == 0) return data;
    }
    return nullptr;
  }
};

// Rolls over data[from, to) and returns the length up to the first match, else 0. The processor can look at two places
// at once, so it looks at two neighbouring stretches in step: a hash knows only window_bytes, and so the second one can
// be started anywhere.
std::size_t find_cut(const std::uint8_t* data, std::size_t from, std::size_t to, std::uint64_t mask, const Gear& gear,
                     std::uint64_t& hash) noexcept {
  constexpr std::size_t stretch = 2048;
  Lane lane{data + from, hash};
  const std::uint8_t* const end = data + to;
  while (static_cast<std::size_t>(end - lane.data) >= 2 * stretch) {
    const std::uint8_t* const middle = lane.data + stretch;
    Lane ahead{middle - window_bytes, 0};
    while (ahead.data < middle) ahead.hash = ahead.hash * 2 + gear[*ahead.data++];
    bool found_ahead = false;
    while (lane.data < middle) {
      if (lane.roll_two(gear, mask)) return static_cast<std::size_t>(lane.roll_to(middle, gear, mask) - data);
      if (ahead.roll_two(gear, mask)) {
        found_ahead = true;
        break;
      }
    }
    if (found_ahead) {
      if (const std::uint8_t* cut = lane.roll_to(middle, gear, mask)) return static_cast<std::size_t>(cut - data);
      return static_cast<std::size_t>(ahead.roll_to(middle + stretch, gear, mask) - data);
    }
    lane = ahead;
  }
  const std::uint8_t* cut = lane.roll_to(end, gear, mask);
  hash = lane.hash;
  return cut == nullptr ? 0 : static_cast<std::size_t>(cut - data);
}

}  // namespace

void ChunkingParameters::validate() const {
  if (!std::has_single_bit(size_average) || size_average < average_min || size_min == 0 || size_min > size_average ||
      size_average > size_max || size_max > limits::chunk_size_max)
    throw Error(ErrorCode::malformed, "impossible chunking parameters",
                std::to_string(size_min) + "/" + std::to_string(size_average) + "/" + std::to_string(size_max));
}

Chunker::Chunker(const ChunkingParameters& parameters) : parameters_(parameters) {
  parameters.validate();
  std::uint64_t state = parameters.gear_seed;
  for (std::uint64_t& value : gear_) value = split_mix(state);
  const int bits = std::countr_zero(parameters.size_average);
  mask_small_ = spread_mask(bits + normalisation_level);
  mask_large_ = spread_mask(bits - normalisation_level);
}

std::size_t Chunker::next_cut(ByteView bytes) const noexcept {
  const std::size_t end = std::min<std::size_t>(bytes.size(), parameters_.size_max);
  if (end <= parameters_.size_min) return end;
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const std::size_t first = parameters_.size_min - 1;  // the byte whose hash may end the shortest chunk
  const std::size_t average = std::min<std::size_t>(end, parameters_.size_average);

  std::uint64_t hash = 0;
  for (std::size_t i = first < window_bytes ? 0 : first + 1 - window_bytes; i < first; ++i)
    hash = (hash << 1) + gear_[data[i]];
  if (const std::size_t cut = find_cut(data, first, average, mask_small_, gear_, hash)) return cut;
  if (const std::size_t cut = find_cut(data, average, end, mask_large_, gear_, hash)) return cut;
  return end;
}

bool all_zero(ByteView bytes) noexcept {
  // Zeros at the beginning, and every byte equal to the one sixteen before it. The first look settles most.
  constexpr std::size_t head_bytes = 16;
  const std::size_t head = std::min(bytes.size(), head_bytes);
  for (std::size_t i = 0; i < head; ++i)
    if (bytes[i] != std::byte{0}) return false;
  return bytes.size() <= head_bytes ||
         std::memcmp(bytes.data(), bytes.data() + head_bytes, bytes.size() - head_bytes) == 0;
}

}  // namespace vmferry
