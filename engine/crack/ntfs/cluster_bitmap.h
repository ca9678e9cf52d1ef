// ClusterBitmap: the volume's $Bitmap, read piece by piece: memory does not grow with the volume.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/crack/ntfs/runs.h"
#include "protocol/bytes.h"

namespace vmferry::crack {

struct ClusterRange {
  std::uint64_t lcn = 0;
  std::uint64_t clusters = 0;
  bool operator==(const ClusterRange&) const = default;
};

class ClusterBitmap {
 public:
  // Throws Error{malformed} where $Bitmap is shorter than the volume: then nothing is known to be free.
  ClusterBitmap(RunReader bitmap, std::uint64_t clusters);

  // Ranges of set bits (or of clear ones) in [lcn, lcn + clusters), ascending, as long as they can be.
  void for_each(std::uint64_t lcn, std::uint64_t clusters, bool set,
                const std::function<void(std::uint64_t lcn, std::uint64_t clusters)>& use);

 private:
  std::uint64_t word(std::uint64_t index);

  RunReader bitmap_;
  Bytes window_;
  std::uint64_t window_at_ = ~std::uint64_t{0};
};

}  // namespace vmferry::crack
