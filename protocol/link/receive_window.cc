#include "protocol/link/receive_window.h"

#include <algorithm>

#include "protocol/link/records.h"

namespace vmferry::link {

void ReceiveWindow::accept(std::uint64_t position, ByteView bytes, PagePtr* whole) {
  if (bytes.empty()) malformed("a data record without data");
  if (bytes.size() > limit() || position > limit() - bytes.size()) malformed("data past the window");
  const std::uint64_t end = position + bytes.size();
  if (finish_ && end > *finish_) malformed("data after the finish");
  if (position / page_bytes != (end - 1) / page_bytes) malformed("a data record crosses a page");
  if (end <= contiguous_) return;
  position = std::max(position, contiguous_);
  bytes = bytes.last(static_cast<std::size_t>(end - position));

  // The pieces that overlap it or touch it become one with it; where there is a gap between them, bytes are copied.
  auto first = std::ranges::lower_bound(pieces_, position, {}, &Piece::end);
  auto last = first;
  std::uint64_t gap = position;
  PagePtr& page = slot(position);
  if (whole != nullptr && bytes.size() == page_bytes && page == nullptr) {
    page = std::move(*whole);
    gap = end;
  }
  for (; last != pieces_.end() && last->begin <= end; ++last) {
    if (gap < last->begin) copy_in(gap, bytes.subspan(static_cast<std::size_t>(gap - position)).first(
                                           static_cast<std::size_t>(last->begin - gap)));
    gap = std::max(gap, last->end);
  }
  if (gap < end) copy_in(gap, bytes.last(static_cast<std::size_t>(end - gap)));

  Piece merged = {position, end};
  if (first != last) {
    merged.begin = std::min(merged.begin, first->begin);
    merged.end = std::max(merged.end, std::prev(last)->end);
  }
  if (merged.begin <= contiguous_) {
    contiguous_ = merged.end;
    pieces_.erase(first, last);
  } else if (first != last) {
    *first = merged;
    pieces_.erase(std::next(first), last);
  } else {
    if (pieces_.size() >= records_unacknowledged_max) malformed("more separate records than may be under way");
    pieces_.insert(first, merged);
  }
}

void ReceiveWindow::accept_finish(std::uint64_t position) {
  if (position > limit()) malformed("a finish past the window");
  if (finish_ && *finish_ != position) malformed("two finishes");
  if (position < contiguous_ || (!pieces_.empty() && position < pieces_.back().end)) malformed("data after the finish");
  finish_ = position;
}

ReceiveWindow::Views ReceiveWindow::at_hand(std::size_t size_max) const {
  Views views;
  std::uint64_t at = taken_;
  for (ByteView& view : views) {
    const std::uint64_t page_end = (at / page_bytes + 1) * page_bytes;
    const std::uint64_t end = std::min({page_end, contiguous_, taken_ + size_max});
    if (at >= end) break;
    const PagePtr& page = pages_.at(static_cast<std::size_t>(at / page_bytes - first_page_));
    view = ByteView(page->bytes).subspan(static_cast<std::size_t>(at % page_bytes), static_cast<std::size_t>(end - at));
    at = end;
  }
  return views;
}

void ReceiveWindow::took(std::size_t count) {
  taken_ += count;
  const bool empty = taken_ == contiguous_ && pieces_.empty();
  while (!pages_.empty() && (empty || (first_page_ + 1) * page_bytes <= taken_)) {
    if (pages_.front() != nullptr) pool_.put(std::move(pages_.front()));
    pages_.pop_front();
    ++first_page_;
  }
}

PagePtr& ReceiveWindow::slot(std::uint64_t position) {
  if (pages_.empty()) first_page_ = taken_ / page_bytes;
  const auto index = static_cast<std::size_t>(position / page_bytes - first_page_);
  if (index >= pages_.size()) pages_.resize(index + 1);
  return pages_[index];
}

void ReceiveWindow::copy_in(std::uint64_t position, ByteView bytes) {
  PagePtr& page = slot(position);
  if (page == nullptr) page = pool_.take();
  copy_bytes(bytes, std::span(page->bytes).subspan(static_cast<std::size_t>(position % page_bytes)));
}

}  // namespace vmferry::link
