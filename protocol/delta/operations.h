// The operations of a delta frame of kind `copies`, as docs/format/delta-frame.md has them: numbers in columns, so
// that zstd sees like beside like, and in units of a block, of which most are multiples.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/delta/matcher.h"

namespace vmferry::delta {

// The most bytes that the operations of this much content may take: past that a delta is no use, and a bomb.
constexpr std::size_t operations_bytes_max(std::size_t content_bytes) noexcept { return content_bytes / 4 + 1024; }

// copies: as Matcher gives them.
Bytes encode_operations(std::span<const Copy> copies);
// Takes them off the reader's front. What comes back is ascending, disjoint, within content and basis.
// Error{malformed}.
void decode_operations(ByteReader& in, std::uint32_t content_bytes, std::uint32_t basis_bytes,
                       std::vector<Copy>& copies);

}  // namespace vmferry::delta
