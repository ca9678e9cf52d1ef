// The adapter of zlib: a grain's compression, and the CRC-32 that GPT uses. Thread-safe, no state.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "protocol/bytes.h"

namespace vmferry::disk {

// The bytes written to `into`; none where `deflated` is no whole zlib stream or does not fit.
std::optional<std::size_t> inflate_grain(ByteView deflated, std::span<std::byte> into);
// Appends to `out`.
void deflate_grain(ByteView grain, Bytes& out);
std::uint32_t crc32_of(ByteView content);

}  // namespace vmferry::disk
