// Context: what sender and target both know beside a delta's literals: the content that it copies, where that is next to a
// literal. The literals are compressed with it as prefix, for a changed record looks like its neighbours.
#pragma once

#include <span>

#include "protocol/bytes.h"
#include "protocol/delta/matcher.h"

namespace vmferry::delta {

// Of each copy its first and last context_reach bytes (all of a shorter one), in order. Part of the format.
inline constexpr std::uint32_t context_reach = 2048;

// The sender takes it from the content, the target from the basis: the same bytes.
void context_of_content(ByteView content, std::span<const Copy> copies, Bytes& context);
void context_of_basis(ByteView basis, std::span<const Copy> copies, Bytes& context);

}  // namespace vmferry::delta
