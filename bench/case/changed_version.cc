#include "bench/case/changed_version.h"

#include <algorithm>
#include <cstring>

#include "tests/support/content.h"

namespace vmferry::bench {
namespace {

Bytes changed_text(ByteView old, test::Random& random) {
  Bytes changed;
  changed.reserve(old.size() + 1024);
  std::size_t line = 0;
  for (std::size_t at = 0; at < old.size(); ++at) {
    if (old[at] != std::byte{'\n'} && at + 1 < old.size()) continue;
    const ByteView text = old.subspan(line, at + 1 - line);
    line = at + 1;
    const std::uint64_t what = random.below(200);
    if (what == 0) continue;
    changed.insert(changed.end(), text.begin(), text.end());
    if (what > 2) continue;
    Bytes added(text.begin(), text.end());
    for (std::byte& letter : added) {
      if (letter == std::byte{'e'}) letter = std::byte{'a'};
    }
    changed.insert(changed.end(), added.begin(), added.end());
  }
  return changed;
}

Bytes changed_binary(ByteView old, test::Random& random) {
  constexpr std::size_t page = 4096;
  Bytes changed;
  changed.reserve(old.size() + 16 * 1024);
  const std::uint64_t shift_every = std::max<std::uint64_t>(old.size() / 6, 64 * 1024);
  std::uint64_t next_shift = random.below(shift_every);
  for (std::size_t at = 0; at < old.size();) {
    if (at >= next_shift) {
      next_shift += 1 + random.below(2 * shift_every);
      if (random.below(3) == 0) {
        at = std::min(old.size(), at + 16 * (1 + random.below(60)));
        continue;
      }
      const Bytes added = test::random_bytes(random.next(), 16 * (1 + random.below(100)));
      changed.insert(changed.end(), added.begin(), added.end());
    }
    const std::size_t length = std::min(page, old.size() - at);
    const std::size_t begin = changed.size();
    changed.insert(changed.end(), old.begin() + static_cast<std::ptrdiff_t>(at),
                   old.begin() + static_cast<std::ptrdiff_t>(at + length));
    at += length;
    if (length < page || random.below(10) != 0) continue;
    for (std::uint64_t addresses = 1 + random.below(12); addresses > 0; --addresses) {
      std::uint32_t address = 0;
      std::byte* place = changed.data() + begin + 4 * random.below(page / 4);
      std::memcpy(&address, place, sizeof address);
      address += 0x40;
      std::memcpy(place, &address, sizeof address);
    }
  }
  return changed;
}

}  // namespace

Bytes changed_version(ByteView old, std::uint64_t seed) {
  test::Random random(seed);
  const ByteView head = old.first(std::min<std::size_t>(old.size(), 1024));
  const bool text = std::find(head.begin(), head.end(), std::byte{}) == head.end();
  return text ? changed_text(old, random) : changed_binary(old, random);
}

}  // namespace vmferry::bench
