#include "tests/support/content.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>

namespace vmferry::test {

std::uint64_t Random::next() noexcept {
  state_ += 0x9e3779b97f4a7c15;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

std::uint64_t Random::size_between(std::uint64_t low, std::uint64_t high) noexcept {
  if (low == 0) low = 1;
  if (high <= low) return low;
  const auto bits = static_cast<std::uint64_t>(std::bit_width(high / low));
  const std::uint64_t scale = low << below(bits);
  return std::min(high, scale + below(scale));
}

Bytes random_bytes(std::uint64_t seed, std::size_t count) {
  Random random(seed);
  Bytes bytes(count);
  for (std::size_t at = 0; at < count; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = random.next();
    std::memcpy(bytes.data() + at, &word, std::min(sizeof word, count - at));
  }
  return bytes;
}

Bytes text_bytes(std::uint64_t seed, std::size_t count) {
  Random random(seed);
  std::array<std::string, 2048> words;
  for (std::string& word : words) {
    for (std::uint64_t letters = 2 + random.below(8); letters > 0; --letters) {
      word += static_cast<char>('a' + static_cast<int>(random.below(26)));
    }
  }
  Bytes bytes;
  bytes.reserve(count + 128);
  while (bytes.size() < count) {
    if (bytes.size() > 2048 && random.below(6) == 0) {  // a phrase that was there before
      const std::size_t from = bytes.size() - 1024 - random.below(1024);
      const std::size_t length = 20 + random.below(60);
      for (std::size_t i = 0; i < length; ++i) bytes.push_back(bytes[from + i]);
      continue;
    }
    // The smallest of three draws: some words are frequent, as in a language.
    const std::uint64_t draw =
        std::min({random.below(words.size()), random.below(words.size()), random.below(words.size())});
    for (const char letter : words[draw]) bytes.push_back(static_cast<std::byte>(letter));
    bytes.push_back(static_cast<std::byte>(random.below(12) == 0 ? '\n' : ' '));
  }
  bytes.resize(count);
  return bytes;
}

}  // namespace vmferry::test
