#include "protocol/checksum.h"

#define XXH_STATIC_LINKING_ONLY  // for a state on the stack
#include <xxhash.h>

namespace vmferry {

std::uint64_t checksum64(ByteView bytes, std::uint64_t seed) noexcept {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::uint64_t checksum64(std::span<const ByteView> parts) noexcept {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (const ByteView part : parts)
    if (!part.empty()) XXH3_64bits_update(&state, part.data(), part.size());
  return XXH3_64bits_digest(&state);
}

}  // namespace vmferry
