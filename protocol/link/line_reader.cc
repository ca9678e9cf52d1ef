// A line's reading thread. It always reads, whoever is behind with what has arrived, so that control records come
// through and a peer that waits is never taken for one that died; only a rate limit makes it pause.
#include <algorithm>

#include "protocol/link/link_end.h"

namespace vmferry::link {
namespace {

using namespace std::chrono_literals;

constexpr auto ack_within = 20ms;
constexpr std::size_t notes_waiting_max = 16;

}  // namespace

LinkEnd::Joined LinkEnd::join(NewLine& fresh, const Standing& peer, const std::vector<std::uint32_t>* alive_there,
                              std::size_t lines_max) {
  const std::lock_guard lock(mutex_);
  if (everything_is_done()) return Joined::ended;
  if (fresh.number <= line_number_last_) return Joined::stale;
  if (alive_there != nullptr)
    for (const auto& line : lines_)
      if (line->state == Line::State::alive && std::ranges::find(*alive_there, line->number) == alive_there->end())
        break_line(*line, "the client gave it up");
  if (alive() >= lines_max) return Joined::too_many;
  if (peers_window_ != 0 && peers_window_ != peer.window) malformed("its window has changed");
  const Clock::time_point now = Clock::now();
  if (!sending_.acknowledge(peer.received, peer.limit, now)) malformed("it has received what was never sent");
  if (peers_window_ == 0) sending_.bound(peer.window);
  peers_window_ = peer.window;
  ping_every_ = std::min(options_.limits.ping_every, peer.hear_within / 4);

  line_number_last_ = fresh.number;
  const auto line = std::make_shared<Line>(std::move(fresh));
  received_bytes_ += line->records.buffered();  // came with the greeting
  line->peer_received = peer.received;
  line->peer_limit = peer.limit;
  line->sent_last = now;
  line->heard_last = now.time_since_epoch().count();
  line->records.set_source([this, raw = line.get()](std::span<std::byte> into) { return receive_some(*raw, into); });
  lines_.push_back(line);
  try {
    line->reading = std::thread([self = shared_from_this(), raw = line.get()] { self->read_records(*raw); });
    ++line->running;
    line->writing = std::thread([self = shared_from_this(), raw = line.get()] { self->write_records(*raw); });
    ++line->running;
  } catch (const std::system_error& why) {
    break_line(*line, why.what());
  }
  after_flow();
  bell_->ring();  // the keeper has one more line to watch
  return Joined::yes;
}

void LinkEnd::read_records(Line& line) noexcept {
  std::string why = "the other side closed it";
  bool closed_by_peer = false;
  try {
    while (const auto header = line.records.next()) take_record(line, *header);
    closed_by_peer = true;
  } catch (const LineBroken& broken) {
    why = broken.why;
  } catch (const Error& error) {
    fail(error, true);
    drain(line);
  } catch (const std::exception& error) {
    why = error.what();
  }
  const std::lock_guard lock(mutex_);
  if (!everything_is_done()) break_line(line, why, closed_by_peer);
  thread_ends(line);
}

// Until the peer has read why, and has closed its side, or the keeper ends it.
void LinkEnd::drain(Line& line) noexcept {
  try {
    Bytes dropped(control_bytes_max);
    while (receive_some(line, dropped) > 0) {
    }
  } catch (...) {
  }
}

void LinkEnd::thread_ends(Line& line) noexcept {
  if (--line.running > 0) return;
  closing_.notify_all();
  bell_->ring();
}

void LinkEnd::take_record(Line& line, const RecordHeader& header) {
  if (header.type == RecordType::data) return take_data(line, header);
  const ByteView payload = line.records.payload(header.length);
  const std::lock_guard lock(mutex_);
  if (failure_) return;
  switch (header.type) {
    case RecordType::ack: return take_ack(line, header.number, parse_ack_limit(payload));
    case RecordType::ping: return;
    case RecordType::finish: receiving_.accept_finish(header.number); return after_receiving();
    case RecordType::abort: return fail_locked(parse_abort(payload), false);
    case RecordType::note:
      if (notes_in_.size() >= notes_waiting_max) notes_in_.pop_front();
      notes_in_.push_back(parse_note(payload));
      return bell_->ring();
    case RecordType::data:
    case RecordType::welcome:
    case RecordType::refuse: break;
  }
  malformed("a record where it has no place");
}

void LinkEnd::take_data(Line& line, const RecordHeader& header) {
  if (const auto bytes = line.records.payload_at_hand(header.length)) {
    const std::lock_guard lock(mutex_);
    if (failure_) return;
    receiving_.accept(header.number, *bytes);
    return after_receiving();
  }
  PagePtr page;
  {
    const std::lock_guard lock(mutex_);
    page = pool_.take();
  }
  const std::span<std::byte> bytes = std::span(page->bytes).first(header.length);
  line.records.payload_into(bytes);
  const std::lock_guard lock(mutex_);
  if (failure_) return;
  receiving_.accept(header.number, bytes, &page);
  if (page != nullptr) pool_.put(std::move(page));
  after_receiving();
}

void LinkEnd::after_receiving() {
  const std::uint64_t news = receiving_.received() - ack_received_;
  if (receiving_.complete() || news >= window_bytes_ / 16) {
    if (news > 0) ack_due_ = true;
    writers_.notify_one();
  } else if (news > 0 && ack_at_ == Clock::time_point::max()) {
    ack_at_ = Clock::now() + ack_within;
    writers_.notify_one();  // so that one of them waits no longer than that
  }
  if (receiving_.complete() || receiving_.readable()) readable_.notify_one();
  after_flow();
}

void LinkEnd::take_ack(Line& line, std::uint64_t received, std::uint64_t limit) {
  if (received < line.peer_received || limit < line.peer_limit) malformed("an ack takes back what an earlier one said");
  if (limit > received && limit - received > peers_window_) malformed("a limit past its window");
  line.peer_received = received;
  line.peer_limit = limit;
  if (!sending_.acknowledge(received, limit, Clock::now())) malformed("it has received what was never sent");
  after_flow();
}

// Wakes whoever can go on.
void LinkEnd::after_flow() {
  if (sending_.room() > 0) writable_.notify_one();
  if (sending_.has_segment() || sending_.has_finish()) writers_.notify_one();
  if (sending_.all_acknowledged()) closing_.notify_all();
  if (over()) {
    writers_.notify_all();
    closing_.notify_all();
    bell_->ring();
  }
  if (bell_rung_for_bytes_ || options_.bell_after_bytes == 0) return;
  if (sending_.acknowledged() + receiving_.received() < options_.bell_after_bytes) return;
  bell_rung_for_bytes_ = true;
  bell_->ring();
}

std::size_t LinkEnd::receive_some(Line& line, std::span<std::byte> into) {
  RateLimit* const rate = options_.receiving.get();
  if (rate != nullptr) {
    wait_for_rate(line);
    into = into.first(std::min(into.size(), rate->piece_bytes()));
  }
  std::size_t count = 0;
  try {
    count = line.transport->receive(into);
  } catch (const std::exception& why) {
    throw LineBroken{why.what()};
  }
  line.heard_last = Clock::now().time_since_epoch().count();
  received_bytes_ += count;
  if (rate != nullptr) rate->charge(count);
  return count;
}

// While it waits, TCP holds the peer back; nothing is heard, and the keeper knows why.
void LinkEnd::wait_for_rate(Line& line) {
  std::chrono::nanoseconds wait = options_.receiving->try_take(0);
  if (wait == 0ns) return;
  std::unique_lock lock(mutex_);
  line.paused = true;
  for (; wait > 0ns && line.state != Line::State::broken && !everything_is_done(); wait = options_.receiving->try_take(0))
    pausing_.wait_for(lock, wait);
  line.heard_last = Clock::now().time_since_epoch().count();
  line.paused = false;
}

}  // namespace vmferry::link
