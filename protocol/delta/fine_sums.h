// Fine sums: two bytes for each small block of a chunk (its last one may be shorter). They prove nothing alone: they are
// asked only of places that a copy or a position already points at, and the chunk's id is the judge of what comes of it.
// The sum is the low half of the low half of XXH3-64. Thread-safe, no state.
#pragma once

#include <cstdint>

#include "protocol/bytes.h"

namespace vmferry::delta {

inline constexpr std::size_t fine_sum_bytes = 2;

std::uint16_t fine_sum(ByteView block) noexcept;
// Of all blocks of the content, little-endian, one after another.
void append_fine_sums(ByteView content, std::uint32_t fine_bytes, Bytes& sums);

}  // namespace vmferry::delta
