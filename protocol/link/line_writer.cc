// A line's writing thread: takes whatever the link has to send next. Control records go first, so that an ack never
// waits behind more than the one data record that is being sent; of data, the line that is ready takes the next piece, so
// lines of unequal speed share by themselves.
#include <algorithm>

#include "protocol/link/link_end.h"

namespace vmferry::link {
namespace {

using namespace std::chrono_literals;

// A segment that was sent so much longer ago than segments usually take is sent on another line too, when that one has
// nothing else to do: one line that stalls does not hold up the rest.
constexpr auto late_after_min = 1s;

}  // namespace

struct LinkEnd::Batch {
  Bytes head;  // control records, and the header of a data record
  ByteView data;
  PagePtr page;

  void clear() noexcept {
    head.clear();
    data = {};
    page.reset();
  }
};

void LinkEnd::write_records(Line& line) noexcept {
  std::unique_lock lock(mutex_);
  Batch batch;
  try {
    while (next_batch(lock, line, batch)) {
      lock.unlock();
      const std::array<ByteView, 2> parts = {batch.head, batch.data};
      line.transport->send(std::span(parts).first(batch.data.empty() ? 1 : 2));
      lock.lock();
      batch.clear();
    }
    if (line.state == Line::State::alive) {
      line.state = Line::State::closing;
      line.close_by = Clock::now() + close_within;
      bell_->ring();
      lock.unlock();
      line.transport->finish_sending();
      lock.lock();
      if (leaving_) line.transport->leave();
    }
  } catch (const std::exception& why) {
    if (!lock.owns_lock()) lock.lock();
    break_line(line, why.what());
  }
  batch.clear();  // with the mutex held: the page may go back to the pool
  writers_.notify_one();
  thread_ends(line);
}

// Waits until there is something for this line to send. False: the line is to be closed, or is broken.
bool LinkEnd::next_batch(std::unique_lock<std::mutex>& lock, Line& line, Batch& batch) {
  while (true) {
    if (line.state != Line::State::alive) return false;
    if (failure_ ? (line.told || !tell_failure_) : over()) return false;
    const Clock::time_point now = Clock::now();
    const Clock::time_point again = collect(line, batch, now);
    if (!batch.head.empty()) {
      line.sent_last = now;
      sent_bytes_ += batch.head.size() + batch.data.size();
      if (has_more_to_send()) writers_.notify_one();
      return true;
    }
    writers_.wait_until(lock, again);
  }
}

// Returns when to look again if there is nothing now.
LinkEnd::Clock::time_point LinkEnd::collect(Line& line, Batch& batch, Clock::time_point now) {
  if (line.welcome) {
    const Standing own = {receiving_.received(), receiving_.limit(), window_bytes_, options_.limits.dead_after};
    put_welcome(batch.head, Welcome{.standing = own, .lines_max = *line.welcome});
    line.welcome.reset();
  }
  if (failure_) {
    // On each line, so that whichever comes first, the peer reads the end before it learns that we are gone.
    if (leaving_ && sending_.finished()) put_finish(batch.head, sending_.claim_finish(line.number));
    put_abort(batch.head, failure_->code(), failure_->what());
    line.told = true;
    return now;
  }
  collect_control(line, batch, now);
  Clock::time_point again = std::min(ack_at_, line.sent_last + ping_every_);
  again = std::min(again, collect_data(line, batch, now));
  if (batch.head.empty() && line.sent_last + ping_every_ <= now) put_ping(batch.head);
  return again;
}

void LinkEnd::collect_control(Line& line, Batch& batch, Clock::time_point now) {
  const bool ack_waits = ack_at_ != Clock::time_point::max();
  if (ack_due_ || ack_at_ <= now || (ack_waits && sending_.has_segment())) {  // with data, it costs nothing
    ack_received_ = receiving_.received();
    ack_limit_ = receiving_.limit();
    ack_due_ = false;
    ack_at_ = Clock::time_point::max();
    put_ack(batch.head, ack_received_, ack_limit_);
    if (over()) {
      writers_.notify_all();
      closing_.notify_all();
      bell_->ring();
    }
  }
  if (note_out_) {
    put_note(batch.head, *note_out_);
    note_out_.reset();
  }
  if (sending_.has_finish()) put_finish(batch.head, sending_.claim_finish(line.number));
}

LinkEnd::Clock::time_point LinkEnd::collect_data(Line& line, Batch& batch, Clock::time_point now) {
  RateLimit* const rate = options_.sending.get();
  const auto late_after = std::max<Clock::duration>(late_after_min, 3 * sending_.usual_delay());
  const bool fresh = sending_.has_segment();
  const Clock::time_point late_at = sending_.late_at(line.number, late_after);
  if (!fresh && late_at > now) return late_at;
  if (rate != nullptr) {
    const auto wait = rate->try_take(0);
    if (wait > 0ns) return now + wait;
  }
  const std::size_t bytes_max = rate != nullptr ? rate->piece_bytes() : page_bytes;
  SendWindow::Segment segment = fresh ? sending_.claim(line.number, bytes_max, now) : sending_.claim_late(line.number, now);
  put_data_header(batch.head, segment.position, segment.bytes.size());
  batch.data = segment.bytes;
  batch.page = std::move(segment.page);
  if (rate != nullptr) rate->charge(batch.head.size() + batch.data.size());
  return Clock::time_point::max();
}

bool LinkEnd::has_more_to_send() const noexcept {
  return ack_due_ || note_out_ || sending_.has_segment() || sending_.has_finish();
}

}  // namespace vmferry::link
