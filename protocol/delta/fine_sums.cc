#include "protocol/delta/fine_sums.h"

#include <algorithm>

#include "protocol/checksum.h"

namespace vmferry::delta {

std::uint16_t fine_sum(ByteView block) noexcept { return static_cast<std::uint16_t>(checksum64(block) & 0xffff); }

void append_fine_sums(ByteView content, std::uint32_t fine_bytes, Bytes& sums) {
  sums.reserve(sums.size() + (content.size() / fine_bytes + 1) * fine_sum_bytes);
  for (std::size_t at = 0; at < content.size(); at += fine_bytes) {
    const std::uint16_t sum = fine_sum(content.subspan(at, std::min<std::size_t>(fine_bytes, content.size() - at)));
    sums.push_back(static_cast<std::byte>(sum & 0xff));
    sums.push_back(static_cast<std::byte>(sum >> 8));
  }
}

}  // namespace vmferry::delta
