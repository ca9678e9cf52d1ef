// SumKernel: the two sums of blocks as one instruction set computes them. What block_sums.h promises and the matcher's
// batches are built on it. Functions of their arguments; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
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

struct SumKernel {
  std::string_view name;
  // The weak sum of block_bytes bytes without the seed's part: the caller adds weak_seed * weak_power(block_bytes).
  std::uint32_t (*weak)(const std::byte* block, std::size_t block_bytes);
  // The strong sums of `count` (1 .. sum_lanes_max) blocks of the same length, wherever each is.
  void (*strong)(const std::byte* const* blocks, std::size_t count, std::size_t block_bytes, StrongSum* sums);
};

const SumKernel& portable_kernel() noexcept;
const SumKernel* avx2_kernel() noexcept;    // nullptr where this processor (or compiler) has no such instructions
const SumKernel* avx512_kernel() noexcept;
const SumKernel& fastest_kernel() noexcept;

}  // namespace vmferry::delta
