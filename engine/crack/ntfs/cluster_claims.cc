#include "engine/crack/ntfs/cluster_claims.h"

#include <algorithm>
#include <bit>

namespace vmferry::crack {

ClusterClaims::ClusterClaims(std::uint64_t clusters) {
  if (clusters <= clusters_counted_max) pages_.resize(static_cast<std::size_t>(clusters / (64 * words_per_page) + 1));
}

std::uint64_t ClusterClaims::claim(std::uint64_t lcn, std::uint64_t clusters) {
  std::uint64_t before = 0;
  const std::uint64_t end = pages_.empty() ? lcn : lcn + clusters;
  while (lcn < end) {
    const std::uint64_t word = lcn / 64;
    const unsigned first = static_cast<unsigned>(lcn % 64);
    const unsigned count = static_cast<unsigned>(std::min<std::uint64_t>(64 - first, end - lcn));
    const std::uint64_t mask = (count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1) << first;
    auto& page = pages_[static_cast<std::size_t>(word / words_per_page)];
    if (!page) page = std::make_unique<std::uint64_t[]>(words_per_page);
    std::uint64_t& bits = page[static_cast<std::size_t>(word % words_per_page)];
    before += static_cast<std::uint64_t>(std::popcount(bits & mask));
    bits |= mask;
    lcn += count;
  }
  return before;
}

}  // namespace vmferry::crack
