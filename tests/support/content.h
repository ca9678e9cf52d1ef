// Content for test files: the same seed always gives the same bytes, on every machine.
#pragma once

#include <cstddef>
#include <cstdint>

#include "protocol/bytes.h"

namespace vmferry::test {

// SplitMix64: small, fast, and the same everywhere, unlike the distributions of <random>.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}
  std::uint64_t next() noexcept;
  std::uint64_t below(std::uint64_t bound) noexcept { return bound == 0 ? 0 : next() % bound; }
  // Sizes as files have them: log-uniform in [low, high].
  std::uint64_t size_between(std::uint64_t low, std::uint64_t high) noexcept;

 private:
  std::uint64_t state_;
};

Bytes random_bytes(std::uint64_t seed, std::size_t count);  // does not compress
Bytes text_bytes(std::uint64_t seed, std::size_t count);    // words and lines; zstd makes it about a third

}  // namespace vmferry::test
