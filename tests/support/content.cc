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
  std::array<std::string, 4096> words;
  for (std::string& word : words) {
    for (std::uint64_t letters = 2 + random.below(8); letters > 0; --letters) {
      word += static_cast<char>('a' + static_cast<int>(random.below(26)));
    }
  }
  Bytes bytes;
  bytes.reserve(count + 16);
  std::size_t column = 0;
  while (bytes.size() < count) {
    // The smaller of two draws: some words are frequent, as in a language.
    const std::string& word = words[std::min(random.below(words.size()), random.below(words.size()))];
    for (const char letter : word) bytes.push_back(static_cast<std::byte>(letter));
    column += word.size();
    bytes.push_back(static_cast<std::byte>(column > 80 ? '\n' : ' '));
    if (column > 80) column = 0;
  }
  bytes.resize(count);
  return bytes;
}

}  // namespace vmferry::test
