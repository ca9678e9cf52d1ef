#include "engine/crack/ntfs/cluster_bitmap.h"

#include <algorithm>
#include <bit>

#include "engine/crack/ntfs/little_endian.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

constexpr std::size_t window_bytes = 256 * 1024;

}  // namespace

ClusterBitmap::ClusterBitmap(RunReader bitmap, std::uint64_t clusters) : bitmap_(std::move(bitmap)) {
  if (bitmap_.size_bytes() < (clusters + 7) / 8) {
    throw Error(ErrorCode::malformed, "cannot crack the volume", {}, "its $Bitmap is shorter than the volume");
  }
}

std::uint64_t ClusterBitmap::word(std::uint64_t index) {
  const std::uint64_t at = index * 8;
  const std::uint64_t window_at = at / window_bytes * window_bytes;
  if (window_at != window_at_) {
    const std::uint64_t length = std::min<std::uint64_t>(window_bytes, bitmap_.size_bytes() - window_at);
    window_.assign(window_bytes, std::byte{0});
    bitmap_.read(window_at, std::span(window_).first(static_cast<std::size_t>(length)));
    bitmap_.prefetch(window_at + length, window_bytes);
    window_at_ = window_at;
  }
  return le64(window_, static_cast<std::size_t>(at - window_at));
}

void ClusterBitmap::for_each(std::uint64_t lcn, std::uint64_t clusters, bool set,
                             const std::function<void(std::uint64_t lcn, std::uint64_t clusters)>& use) {
  const std::uint64_t end = lcn + clusters;
  std::uint64_t start = lcn, at = lcn;
  bool inside = false;
  while (at < end) {
    const unsigned bit = static_cast<unsigned>(at % 64);
    std::uint64_t bits = word(at / 64) >> bit;
    if (!set) bits = ~bits;
    if (inside) bits = ~bits;
    // How many clusters from here on are as they were before.
    const std::uint64_t same = std::min<std::uint64_t>(
        {static_cast<std::uint64_t>(std::countr_zero(bits)), 64U - bit, end - at});
    at += same;
    if (at == end) break;
    if (same == 64U - bit) continue;
    if (inside) {
      use(start, at - start);
    } else {
      start = at;
    }
    inside = !inside;
  }
  if (inside) use(start, end - start);
}

}  // namespace vmferry::crack
