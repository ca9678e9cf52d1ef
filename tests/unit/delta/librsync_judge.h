// librsync itself, over memory, as the judge of ours.
#pragma once

#include <cstdint>

#include "protocol/bytes.h"

namespace vmferry::test {

// A whole signature file (RK/BLAKE2).
Bytes librsync_signature(ByteView content, std::size_t block_bytes, std::size_t strong_bytes);
// The delta that librsync's own job makes of that signature file.
Bytes librsync_delta(ByteView signature_file, ByteView content);
// What librsync makes of a delta file and its basis; throws std::runtime_error where it refuses.
Bytes librsync_patch(ByteView basis, ByteView delta_file);

}  // namespace vmferry::test
