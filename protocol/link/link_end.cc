// The user's half of a link's end, and what a keeper asks of it.
#include "protocol/link/link_end.h"

#include <algorithm>
#include <stdexcept>

namespace vmferry::link {
namespace {

using namespace std::chrono_literals;

constexpr auto linger = 2s;  // for acknowledgements of what was sent, when the user is done

}  // namespace

LinkEnd::LinkEnd(const Options& options, std::shared_ptr<Bell> bell)
    : options_(options),
      window_bytes_(std::clamp<std::uint64_t>(options.limits.window_bytes, window_bytes_min, window_bytes_max)),
      bell_(std::move(bell)),
      sending_(pool_, window_bytes_),
      receiving_(pool_, window_bytes_),
      ping_every_(options.limits.ping_every) {
  sending_.may_begin_with(options.early_bytes);
}

LinkEnd::~LinkEnd() = default;

void LinkEnd::send(std::span<const ByteView> parts) {
  std::unique_lock lock(mutex_);
  if (sending_.finished()) throw std::logic_error("sending after the finish");
  for (ByteView part : parts) {
    while (!part.empty()) {
      if (sending_.room() == 0) writers_.notify_one();
      writable_.wait(lock, [this] { return failure_ || sending_.room() > 0; });
      throw_failure();
      const std::span<std::byte> room = sending_.grow(part.size());
      lock.unlock();
      copy_bytes(part.first(room.size()), room);
      part = part.subspan(room.size());
      lock.lock();
      sending_.written(room.size());
      written_bytes_ += room.size();
      if (written_bytes_ % page_bytes == 0) writers_.notify_one();  // a whole page need not wait for the rest
    }
  }
  throw_failure();
  writers_.notify_one();
}

std::size_t LinkEnd::receive(std::span<std::byte> into) {
  std::unique_lock lock(mutex_);
  readable_.wait(lock, [this] { return failure_ || leaving_ || receiving_.complete() || receiving_.readable(); });
  if (leaving_) return 0;
  // What is whole can be read to its end, whatever became of the link; unless we ended it ourselves.
  if (aborted_here_ || !receiving_.complete()) throw_failure();
  if (into.empty() || receiving_.at_end()) return 0;
  const ReceiveWindow::Views views = receiving_.at_hand(into.size());
  lock.unlock();
  std::size_t count = 0;
  for (const ByteView view : views) {
    copy_bytes(view, into.subspan(count));
    count += view.size();
  }
  lock.lock();
  receiving_.took(count);
  give_credit();
  return count;
}

// A peer that may send again is told so in eighths of the window; between these an ack that goes anyway tells it.
void LinkEnd::give_credit() {
  if (receiving_.complete() || ack_due_ || receiving_.limit() - ack_limit_ < window_bytes_ / 8) return;
  ack_due_ = true;
  writers_.notify_one();
}

void LinkEnd::finish_sending() {
  const std::lock_guard lock(mutex_);
  sending_.finish();
  writers_.notify_one();
}

void LinkEnd::abort() noexcept {
  const std::lock_guard lock(mutex_);
  aborted_here_ = true;
  fail_locked(Error(ErrorCode::unreachable, "the session was ended"), true);
  readable_.notify_all();
}

// Where the peer has everything but the finish, nothing that it still says can matter: the finish goes, with an abort behind
// it, and no answer is waited for.
void LinkEnd::leave() noexcept {
  const std::lock_guard lock(mutex_);
  if (!sending_.finished()) return;
  leaving_ = true;
  if (!over() && sending_.all_but_finish_acknowledged())
    fail_locked(Error(ErrorCode::unreachable, "the session was left"), true);
  for (const auto& line : lines_)
    if (line->state == Line::State::closing) line->transport->leave();
  readable_.notify_all();
}

TransportCounts LinkEnd::counts() const noexcept { return {sent_bytes_, received_bytes_}; }

void LinkEnd::note(const std::string& sentence) noexcept {
  const std::lock_guard lock(mutex_);
  note_out_ = sentence;
  writers_.notify_one();
}

void LinkEnd::close() noexcept {
  {
    std::unique_lock lock(mutex_);
    // With the peer's finish the link can be over; without, the peer should at least get what was sent.
    if (sending_.finished())
      wait_for_closing(lock, Clock::now() + linger, [this] {
        return failure_ || (receiving_.complete() ? over() : sending_.all_acknowledged());
      });
    if (!over()) fail_locked(Error(ErrorCode::unreachable, "the other end of the session is gone"), true);
  }
  end_lines(Clock::now() + close_within);
}

void LinkEnd::end_lines(Clock::time_point then) noexcept {
  std::unique_lock lock(mutex_);
  const auto all_ended = [this] {
    return std::ranges::all_of(lines_, [](const auto& line) { return line->running == 0; });
  };
  wait_for_closing(lock, then, all_ended);
  for (const auto& line : lines_)
    if (line->running > 0) break_line(*line, "the link is closed");
  while (!all_ended()) closing_.wait(lock);
  lock.unlock();
  reap();
}

template <typename Condition>
void LinkEnd::wait_for_closing(std::unique_lock<std::mutex>& lock, Clock::time_point then, Condition condition) {
  while (!condition() && closing_.wait_until(lock, then) == std::cv_status::no_timeout) {
  }
}

Standing LinkEnd::standing() const {
  const std::lock_guard lock(mutex_);
  return {receiving_.received(), receiving_.limit(), window_bytes_, options_.limits.dead_after};
}

std::vector<std::uint32_t> LinkEnd::lines_alive() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint32_t> numbers;
  for (const auto& line : lines_)
    if (line->state == Line::State::alive) numbers.push_back(line->number);
  return numbers;
}

void LinkEnd::fail(const Error& why, bool tell) noexcept {
  const std::lock_guard lock(mutex_);
  fail_locked(why, tell);
}

void LinkEnd::fail_locked(const Error& why, bool tell) noexcept {
  if (failure_) return;
  failure_ = why;
  tell_failure_ = tell;
  writers_.notify_all();
  pausing_.notify_all();
  readable_.notify_all();
  writable_.notify_all();
  closing_.notify_all();
  bell_->ring();
}

void LinkEnd::throw_failure() const {
  if (failure_) throw Error(*failure_);
}

// Nothing is left to do for either side: our finish and all before it is acknowledged, so is theirs.
bool LinkEnd::over() const noexcept {
  return sending_.all_acknowledged() && receiving_.complete() && !ack_due_ && ack_received_ == receiving_.received();
}

void LinkEnd::break_line(Line& line, const std::string& why, bool closed_by_peer) noexcept {
  if (line.state == Line::State::broken) return;
  const bool lived = line.state == Line::State::alive;
  line.state = Line::State::broken;
  line.transport->abort();
  if (lived) {
    sending_.give_back(line.number);
    why_broken_ = why;
    if (alive() == 0) lines_lost_ = Clock::now();
    // What it was to tell may be lost with it; but a peer that closes lines after its finish has all of our acks.
    if (!closed_by_peer || !receiving_.complete()) ack_due_ = true;
  }
  writers_.notify_all();
  pausing_.notify_all();
  bell_->ring();
}

std::size_t LinkEnd::alive() const noexcept {
  return static_cast<std::size_t>(
      std::ranges::count_if(lines_, [](const auto& line) { return line->state == Line::State::alive; }));
}

void LinkEnd::put_early(Bytes& out, std::uint32_t line_number) {
  const std::lock_guard lock(mutex_);
  const std::size_t before = out.size();
  while (sending_.has_segment()) {
    const SendWindow::Segment segment = sending_.claim(line_number, page_bytes, Clock::now());
    put_data_header(out, segment.position, segment.bytes.size());
    out.insert(out.end(), segment.bytes.begin(), segment.bytes.end());
  }
  sent_bytes_ += out.size() - before;
  if (options_.sending != nullptr) options_.sending->charge(out.size() - before);
}

void LinkEnd::forget_early(std::uint32_t line_number) noexcept {
  const std::lock_guard lock(mutex_);
  sending_.give_back(line_number);
}

LinkEnd::Status LinkEnd::status() const {
  const std::lock_guard lock(mutex_);
  Status status;
  status.lines = alive();
  status.ended = everything_is_done();
  status.finished = sending_.finished() && receiving_.complete();
  status.flowed_bytes = sending_.acknowledged() + receiving_.received();
  status.lines_lost = lines_lost_;
  status.why_broken = why_broken_;
  return status;
}

bool LinkEnd::is_held_back() noexcept {
  const std::lock_guard lock(mutex_);
  std::size_t held_back = 0;
  for (const auto& line : lines_)
    if (line->state == Line::State::alive && line->transport->is_held_back()) ++held_back;
  return held_back > 0 && held_back == alive();
}

std::vector<std::string> LinkEnd::take_notes() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> notes(notes_in_.begin(), notes_in_.end());
  notes_in_.clear();
  return notes;
}

LinkEnd::Clock::time_point LinkEnd::check(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  Clock::time_point again = Clock::time_point::max();
  for (const auto& line : lines_) {
    if (line->state == Line::State::alive) {
      if (line->paused) line->heard_last = now.time_since_epoch().count();
      const Clock::time_point heard{Clock::duration(line->heard_last.load())};
      const Clock::time_point dead = heard + options_.limits.dead_after;
      if (dead <= now) {
        break_line(*line, "nothing was heard for " + std::to_string(options_.limits.dead_after.count()) + " ms");
      } else {
        again = std::min(again, dead);
      }
    } else if (line->state == Line::State::closing) {
      if (line->close_by <= now) {
        break_line(*line, "it did not close");
      } else {
        again = std::min(again, line->close_by);
      }
    }
  }
  // An idle link keeps no spare pages.
  const std::uint64_t flowed = sending_.acknowledged() + receiving_.received();
  if (flowed == flowed_at_last_check_) pool_.clear();
  flowed_at_last_check_ = flowed;
  return again;
}

void LinkEnd::reap() noexcept {
  std::vector<std::shared_ptr<Line>> ended;
  {
    const std::lock_guard lock(mutex_);
    // Not of std::ranges: clang 14 cannot take the subranges of libstdc++ 12.
    const auto gone =
        std::stable_partition(lines_.begin(), lines_.end(), [](const auto& line) { return line->running > 0; });
    ended.assign(gone, lines_.end());
    lines_.erase(gone, lines_.end());
  }
  for (const auto& line : ended) {
    if (line->reading.joinable()) line->reading.join();
    if (line->writing.joinable()) line->writing.join();
  }
}

}  // namespace vmferry::link
