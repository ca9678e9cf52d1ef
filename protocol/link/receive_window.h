// ReceiveWindow: puts what arrives over several lines, in any order and some of it twice, back into one stream. Holds at
// most the window's bytes and two pages, and remembers at most records_unacknowledged_max pieces, whatever the peer
// sends. A decision about values: no locks, no I/O. The link's mutex guards it, except that whoever took at_hand() may
// copy from it without: nobody writes where bytes have arrived.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/link/page.h"

namespace vmferry::link {

class ReceiveWindow {
 public:
  static constexpr std::uint64_t first_window_bytes = 4 * page_bytes;

  ReceiveWindow(PagePool& pool, std::uint64_t window_bytes) : pool_(pool), window_bytes_(window_bytes) {}

  // --- by the lines. Throw Error{malformed} for what no peer sends that respects limit().
  // `whole`: where bytes lie, if they are a page's from its first byte; it is kept, and null then, where that saves a copy.
  void accept(std::uint64_t position, ByteView bytes, PagePtr* whole = nullptr);
  void accept_finish(std::uint64_t position);

  // Everything before this position is here; one more when the finish is here too.
  std::uint64_t received() const noexcept { return contiguous_ + (complete() ? 1 : 0); }
  // Before anybody has read anything, the peer may not fill the window: a session that waits for its turn is cheap.
  std::uint64_t limit() const noexcept {
    return taken_ > 0 ? taken_ + window_bytes_ : std::min<std::uint64_t>(window_bytes_, first_window_bytes);
  }
  bool complete() const noexcept { return finish_ && contiguous_ == *finish_; }

  // --- by the one who reads
  using Views = std::array<ByteView, 4>;
  bool readable() const noexcept { return contiguous_ > taken_; }
  bool at_end() const noexcept { return complete() && taken_ == contiguous_; }
  // What can be read now, up to size_max and four pages: as many views as are not empty.
  Views at_hand(std::size_t size_max) const;
  void took(std::size_t count);
  std::uint64_t taken() const noexcept { return taken_; }

 private:
  struct Piece {
    std::uint64_t begin = 0, end = 0;
  };
  Piece& piece_around(std::uint64_t begin, std::uint64_t end);
  PagePtr& slot(std::uint64_t position);
  void copy_in(std::uint64_t position, ByteView bytes);

  PagePool& pool_;
  const std::uint64_t window_bytes_;
  std::deque<PagePtr> pages_;  // the first one holds position first_page_ * page_bytes; null where nothing arrived
  std::uint64_t first_page_ = 0;
  std::uint64_t taken_ = 0, contiguous_ = 0;
  std::vector<Piece> pieces_;  // beyond contiguous_: sorted, apart from each other
  std::optional<std::uint64_t> finish_;
};

}  // namespace vmferry::link
