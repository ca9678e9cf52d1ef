// Page: 64 KiB of a link's stream, beginning at a multiple of 64 KiB: what both windows keep bytes in. PagePool: pages
// that were given back, so that a busy link allocates nothing. Not thread-safe: the link's mutex guards both windows.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/limits.h"

namespace vmferry::link {

inline constexpr std::size_t page_bytes = 64 * limits::KiB;

struct Page {
  std::array<std::byte, page_bytes> bytes;
};
using PagePtr = std::shared_ptr<Page>;

// To the beginning of `into`. (std::ranges::copy goes byte by byte here.)
inline void copy_bytes(ByteView from, std::span<std::byte> into) noexcept {
  if (!from.empty()) std::memcpy(into.data(), from.data(), from.size());
}

class PagePool {
 public:
  PagePtr take() {
    if (free_.empty()) return std::make_shared_for_overwrite<Page>();
    PagePtr page = std::move(free_.back());
    free_.pop_back();
    return page;
  }
  // A page that a line is still sending from goes when the line is done with it.
  void put(PagePtr page) {
    if (page.use_count() == 1 && free_.size() < free_pages_max) free_.push_back(std::move(page));
  }
  void clear() noexcept { free_ = {}; }

 private:
  static constexpr std::size_t free_pages_max = 16;
  std::vector<PagePtr> free_;
};

}  // namespace vmferry::link
