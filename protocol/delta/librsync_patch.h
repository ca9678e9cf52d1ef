// librsync's patch over memory: the adapter of librsync; nothing else includes the vendor's header.
#pragma once

#include <span>

#include "protocol/bytes.h"

namespace vmferry::delta {

// Applies a librsync delta to a basis, into exactly `content`: false where the delta is none, copies from outside of
// the basis, or makes more or less than that. Never reads or writes past any of the three. Thread-safe, no state.
bool librsync_patch(ByteView basis, ByteView delta_file, std::span<std::byte> content);

}  // namespace vmferry::delta
