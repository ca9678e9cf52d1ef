// A changed version of a file, as a package's update brings it.
#pragma once

#include <cstdint>

#include "protocol/bytes.h"

namespace vmferry::bench {

// Text (no zero byte in its first KiB): some lines are dropped, some doubled and altered. Anything else, as a compiler
// does to a binary: a few insertions and removals that shift what follows, and 4-byte addresses changed all over a
// tenth of its pages. About 95 % of the bytes are still there somewhere. Made, not real: bench/README.md says so.
Bytes changed_version(ByteView old, std::uint64_t seed);

}  // namespace vmferry::bench
