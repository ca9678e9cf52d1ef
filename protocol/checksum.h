// checksum64: XXH3-64, the unkeyed check of frames, points and wire messages, and the hash that cuts tree nodes.
// It finds damage, not forgery. Its values are part of our formats. Thread-safe. The adapter of xxHash is checksum.cc.
#pragma once

#include <cstdint>
#include <span>

#include "protocol/bytes.h"

namespace vmferry {

inline constexpr std::size_t checksum64_bytes = 8;

std::uint64_t checksum64(ByteView bytes, std::uint64_t seed = 0) noexcept;
// The same as of all parts joined.
std::uint64_t checksum64(std::span<const ByteView> parts) noexcept;

}  // namespace vmferry
