// SendWindow: what one end has to send, from the byte that is not acknowledged yet to the last one that was written.
// Lines claim segments of it; those of a line that broke are claimed again, first of all. A decision about values: no
// locks, no I/O. The link's mutex guards it. Positions count bytes from the stream's start; the finish counts as one
// more position, so that "received" says whether it arrived.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <span>

#include "protocol/bytes.h"
#include "protocol/link/page.h"

namespace vmferry::link {

class SendWindow {
 public:
  using Clock = std::chrono::steady_clock;
  using LineNumber = std::uint32_t;  // 0: no line

  struct Segment {
    std::uint64_t position = 0;
    ByteView bytes;
    PagePtr page;  // keeps the bytes; let go of under the link's mutex
  };

  SendWindow(PagePool& pool, std::uint64_t kept_bytes_max) : pool_(pool), kept_bytes_max_(kept_bytes_max) {}

  // --- by the one who writes
  std::uint64_t room() const noexcept { return kept_bytes_max_ - (written_ - acknowledged_); }
  // Room for at least one byte and at most `wanted` (room() > 0): filled without the mutex, then written(count).
  std::span<std::byte> grow(std::size_t wanted);
  void written(std::size_t count);
  void finish() noexcept { finished_ = true; }
  bool finished() const noexcept { return finished_; }

  // --- by the lines
  bool has_segment() const noexcept;
  // At most bytes_max of what was lost with its line, or was never sent. has_segment() holds.
  Segment claim(LineNumber line, std::size_t bytes_max, Clock::time_point now);
  // When the oldest segment, if it is another line's, was sent `patience` ago; else max().
  Clock::time_point late_at(LineNumber line, Clock::duration patience) const noexcept;
  Segment claim_late(LineNumber line, Clock::time_point now);  // that segment again, on this line
  // How long it takes lately until a segment is acknowledged; much of it may be spent in the line's own buffers.
  Clock::duration usual_delay() const noexcept { return usual_delay_; }
  bool has_finish() const noexcept;
  std::uint64_t claim_finish(LineNumber line) noexcept;  // the final position
  void give_back(LineNumber line) noexcept;              // the line broke

  // --- by the peer
  // So much may be sent before it has said anything.
  void may_begin_with(std::uint64_t bytes) noexcept { limit_ = std::max(limit_, bytes); }
  // False: nobody who received what we sent says this.
  bool acknowledge(std::uint64_t received, std::uint64_t limit, Clock::time_point now);
  void bound(std::uint64_t peers_window) noexcept;  // keep no more than that either

  std::uint64_t acknowledged() const noexcept { return acknowledged_; }
  bool all_acknowledged() const noexcept { return finish_acknowledged_; }  // the finish too
  bool all_but_finish_acknowledged() const noexcept { return finished_ && acknowledged_ == written_; }

 private:
  struct Sent {
    std::uint64_t begin = 0, end = 0;
    LineNumber line = 0;
    Clock::time_point at;
  };
  Segment view(const Sent& sent) const;
  std::uint64_t sendable() const noexcept { return std::min(written_, limit_); }
  void drop_pages();

  PagePool& pool_;
  std::uint64_t kept_bytes_max_;
  std::deque<PagePtr> pages_;  // the first one holds position first_page_ * page_bytes
  std::uint64_t first_page_ = 0;
  bool growing_ = false;       // the last page is being written to
  std::uint64_t acknowledged_ = 0, next_ = 0, written_ = 0, limit_ = 0;
  std::deque<Sent> sent_;      // covers [acknowledged_, next_)
  std::size_t lost_ = 0;       // of those, how many no line has
  Clock::duration usual_delay_{0};
  bool finished_ = false, finish_sent_ = false, finish_acknowledged_ = false;
  LineNumber finish_line_ = 0;
};

}  // namespace vmferry::link
