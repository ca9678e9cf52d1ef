// ClusterClaims: which clusters a run has claimed already, a bit each; pages of bits come into being when they are
// touched. On volumes of more than clusters_counted_max clusters nothing is counted: memory is bounded.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace vmferry::crack {

class ClusterClaims {
 public:
  static constexpr std::uint64_t clusters_counted_max = std::uint64_t{1} << 31;  // 256 MiB of bits, 8 TiB at 4 KiB

  explicit ClusterClaims(std::uint64_t clusters);
  // Claims a range within the volume. Returns how many of its clusters had been claimed before.
  std::uint64_t claim(std::uint64_t lcn, std::uint64_t clusters);

 private:
  static constexpr std::size_t words_per_page = 8192;
  std::vector<std::unique_ptr<std::uint64_t[]>> pages_;
};

}  // namespace vmferry::crack
