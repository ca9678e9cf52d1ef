#include "protocol/link/send_window.h"

#include <algorithm>
#include <stdexcept>

#include "protocol/link/records.h"

namespace vmferry::link {

std::span<std::byte> SendWindow::grow(std::size_t wanted) {
  if (finished_ || growing_ || room() == 0) throw std::logic_error("a link's stream cannot grow now");
  if (pages_.empty()) first_page_ = written_ / page_bytes;
  if (written_ / page_bytes >= first_page_ + pages_.size()) pages_.push_back(pool_.take());
  const auto from = static_cast<std::size_t>(written_ % page_bytes);
  const auto count = static_cast<std::size_t>(
      std::min({std::uint64_t{wanted}, room(), std::uint64_t{page_bytes - from}}));
  growing_ = true;
  return std::span(pages_.back()->bytes).subspan(from, count);
}

void SendWindow::written(std::size_t count) {
  growing_ = false;
  written_ += count;
}

bool SendWindow::has_segment() const noexcept {
  return lost_ > 0 || (next_ < sendable() && sent_.size() < records_unacknowledged_max);
}

SendWindow::Segment SendWindow::claim(LineNumber line, std::size_t bytes_max, Clock::time_point now) {
  if (lost_ > 0) {
    const auto lost = std::ranges::find(sent_, LineNumber{0}, &Sent::line);
    --lost_;
    lost->line = line;
    lost->at = now;
    if (lost->end - lost->begin > bytes_max && sent_.size() < records_unacknowledged_max) {
      const Sent first = {lost->begin, lost->begin + bytes_max, line, now};
      lost->begin = first.end;
      lost->line = 0;
      ++lost_;
      sent_.insert(lost, first);
      return view(first);
    }
    return view(*lost);
  }
  const std::uint64_t page_end = (next_ / page_bytes + 1) * page_bytes;
  const Sent fresh = {next_, std::min({sendable(), page_end, next_ + bytes_max}), line, now};
  next_ = fresh.end;
  sent_.push_back(fresh);
  return view(fresh);
}

SendWindow::Segment SendWindow::claim_late(LineNumber line, Clock::time_point now) {
  sent_.front().line = line;
  sent_.front().at = now;
  return view(sent_.front());
}

SendWindow::Clock::time_point SendWindow::late_at(LineNumber line, Clock::duration patience) const noexcept {
  if (sent_.empty() || sent_.front().line == line || sent_.front().line == 0) return Clock::time_point::max();
  return sent_.front().at + patience;
}

bool SendWindow::has_finish() const noexcept {
  return finished_ && !finish_acknowledged_ && finish_line_ == 0 && next_ == written_ && lost_ == 0;
}

std::uint64_t SendWindow::claim_finish(LineNumber line) noexcept {
  finish_line_ = line;
  finish_sent_ = true;
  return written_;
}

void SendWindow::give_back(LineNumber line) noexcept {
  for (Sent& sent : sent_) {
    if (sent.line != line) continue;
    sent.line = 0;
    ++lost_;
  }
  if (finish_line_ == line) finish_line_ = 0;
}

bool SendWindow::acknowledge(std::uint64_t received, std::uint64_t limit, Clock::time_point now) {
  if (received > (finish_sent_ ? written_ + 1 : next_)) return false;
  if (finish_sent_ && received == written_ + 1) {
    finish_acknowledged_ = true;
    received = written_;
  }
  limit_ = std::max(limit_, limit);
  if (received <= acknowledged_) return true;
  acknowledged_ = received;
  while (!sent_.empty() && sent_.front().end <= acknowledged_) {
    if (sent_.front().line == 0) --lost_;
    usual_delay_ += (now - sent_.front().at - usual_delay_) / 8;
    sent_.pop_front();
  }
  if (!sent_.empty()) sent_.front().begin = std::max(sent_.front().begin, acknowledged_);
  drop_pages();
  return true;
}

void SendWindow::bound(std::uint64_t peers_window) noexcept {
  kept_bytes_max_ = std::min(kept_bytes_max_, peers_window);
}

SendWindow::Segment SendWindow::view(const Sent& sent) const {
  const PagePtr& page = pages_.at(static_cast<std::size_t>(sent.begin / page_bytes - first_page_));
  const auto from = static_cast<std::size_t>(sent.begin % page_bytes);
  return {sent.begin, ByteView(page->bytes).subspan(from, static_cast<std::size_t>(sent.end - sent.begin)), page};
}

void SendWindow::drop_pages() {
  const bool empty = acknowledged_ == written_ && !growing_;
  while (!pages_.empty() && (empty || (first_page_ + 1) * page_bytes <= acknowledged_)) {
    pool_.put(std::move(pages_.front()));
    pages_.pop_front();
    ++first_page_;
  }
}

}  // namespace vmferry::link
