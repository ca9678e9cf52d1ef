// The sums of a signature's blocks, byte for byte those of librsync's RK/BLAKE2 signatures. Of each block: the weak sum
// (Rabin-Karp over 32 bits: it can be rolled) big-endian, then the first bytes of its BLAKE2b-256. Many blocks are summed at
// once across SIMD lanes; which instructions are used is chosen at run time. Thread-safe, no state.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "protocol/bytes.h"

namespace vmferry::delta {

inline constexpr std::size_t weak_sum_bytes = 4;
inline constexpr std::size_t strong_sum_bytes_max = 32;

using StrongSum = std::array<std::byte, strong_sum_bytes_max>;

// Of one block, by the plain code: the measure for all others, and for single blocks.
std::uint32_t weak_sum(ByteView block) noexcept;
StrongSum strong_sum(ByteView block) noexcept;

// An implementation that this processor can run.
struct BlockSummer {
  std::string_view name;  // "portable", "avx2", "avx512"
  // Of the whole blocks of content (what is left over has no sum): appends weak (4 bytes) and strong (strong_bytes) of each.
  void (*append)(ByteView content, std::uint32_t block_bytes, std::size_t strong_bytes, Bytes& entries);
};
// Those that this processor can run, the fastest last.
std::vector<BlockSummer> block_summers();
// By the fastest one. block_bytes > 0; strong_bytes in 1..strong_sum_bytes_max.
void append_block_sums(ByteView content, std::uint32_t block_bytes, std::size_t strong_bytes, Bytes& entries);

}  // namespace vmferry::delta
