// SumKernel: the two sums of blocks, and the rolled weak sum, as one instruction set computes them. What block_sums.h
// promises and the matcher are built on it. Functions of their arguments; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <array>
#include <string_view>
#include <vector>

#include "protocol/delta/block_sums.h"

namespace vmferry::delta {

inline constexpr std::uint32_t weak_seed = 1;
inline constexpr std::uint32_t weak_multiplier = 0x08104225;
// The most blocks that one call of SumKernel::strong takes.
inline constexpr std::size_t sum_lanes_max = 8;

// weak_multiplier to the power of `exponent`.
constexpr std::uint32_t weak_power(std::uint64_t exponent) noexcept {
  std::uint32_t power = 1;
  for (std::uint32_t square = weak_multiplier; exponent != 0; exponent >>= 1, square *= square)
    if ((exponent & 1) != 0) power *= square;
  return power;
}

// A window of block_bytes that moves over content, and the bitmap that says which weak sums are worth a look.
struct WeakRoll {
  std::size_t block_bytes = 0;
  std::uint32_t power = 0;                   // weak_power(block_bytes)
  std::array<std::uint32_t, 256> leaving{};  // what a byte that leaves takes with it
  const std::uint32_t* filter = nullptr;     // bit (sum >> filter_shift)
  unsigned filter_shift = 0;

  void set_block_bytes(std::size_t bytes) noexcept;
  bool passes(std::uint32_t sum) const noexcept {
    const std::uint32_t bit = sum >> filter_shift;
    return (filter[bit / 32] >> (bit % 32) & 1) != 0;
  }
};

// Where the rolled sum passed the filter. Room for a whole call of SumKernel::roll, and what a vector writes past it.
inline constexpr std::size_t roll_steps_max = 4096;
struct WeakHits {
  std::size_t count = 0;
  std::array<std::uint32_t, roll_steps_max + 16> step;
  std::array<std::uint32_t, roll_steps_max + 16> sum;
};

struct SumKernel {
  std::string_view name;
  // The weak sum of block_bytes bytes without the seed's part: the caller adds weak_seed * weak_power(block_bytes).
  std::uint32_t (*weak)(const std::byte* block, std::size_t block_bytes);
  // The strong sums of `count` (1 .. sum_lanes_max) blocks of the same length, wherever each is.
  void (*strong)(const std::byte* const* blocks, std::size_t count, std::size_t block_bytes, StrongSum* sums);
  // Moves the window at `window`, whose sum is `sum`, by `steps` (at most roll_steps_max) bytes; block_bytes + steps
  // bytes are read. Returns the last sum; hits: the steps (1 .. steps) after which the sum passes the filter, in
  // order.
  std::uint32_t (*roll)(const WeakRoll& roll, const std::byte* window, std::uint32_t sum, std::size_t steps,
                        WeakHits& hits);
};

const SumKernel& portable_kernel() noexcept;
const SumKernel* avx2_kernel() noexcept;    // nullptr where this processor (or compiler) has no such instructions
const SumKernel* avx512_kernel() noexcept;
const SumKernel& fastest_kernel() noexcept;

}  // namespace vmferry::delta
