// The client's end: dials, widens, and dials again. One keeper thread makes all decisions; each try to make a line has a
// thread of its own.
#include <algorithm>
#include <future>

#include "protocol/link/attempt.h"
#include "protocol/link/back_off.h"
#include "protocol/link/link_end.h"
#include "protocol/random_bytes.h"

namespace vmferry::link {
namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned held_back_looks_min = 3;
constexpr std::chrono::milliseconds between_looks{100};

std::string in_words(std::chrono::milliseconds time) {
  const auto count = time.count();
  if (count >= 120'000) return std::to_string(count / 60'000) + " minutes";
  if (count >= 2'000) return std::to_string(count / 1'000) + " seconds";
  return std::to_string(count) + " ms";
}

class ClientLink final : public Transport {
 public:
  ClientLink(Dial dial, const LinkOptions& options)
      : dial_(std::move(dial)),
        options_(options),
        bell_(std::make_shared<Bell>()),
        end_(std::make_shared<LinkEnd>(
            LinkEnd::Options{options.limits, options.sending, options.receiving, options.line_more_after_bytes,
                             early_bytes_max},
            bell_)),
        back_off_(options.retry_min, options.retry_max),
        widening_back_off_(options.retry_min, options.retry_max) {
    fill_random(secret_);
    keeper_ = std::thread([this] { keep(); });
  }

  ~ClientLink() override {
    end_->close();
    stopping_ = true;
    bell_->ring();
    keeper_.join();
  }

  void wait_until_open() { opened_.get_future().get(); }

  void send(std::span<const ByteView> parts) override { end_->send(parts); }
  std::size_t receive(std::span<std::byte> into) override { return end_->receive(into); }
  void finish_sending() override { end_->finish_sending(); }
  void leave() noexcept override { end_->leave(); }
  void abort() noexcept override { end_->abort(); }
  TransportCounts counts() const noexcept override { return end_->counts(); }

 private:
  void keep() noexcept {
    try {
      while (!stopping_) bell_->wait_until(step(Clock::now()));
      attempt_.reset();
    } catch (...) {
      attempt_.reset();
      fail(std::current_exception());
    }
  }

  // Does what is due, and returns when something will be.
  Clock::time_point step(Clock::time_point now) {
    end_->reap();
    Clock::time_point again = end_->check(now);
    for (const std::string& note : end_->take_notes()) say(note);
    LinkEnd::Status status = end_->status();
    if (status.lines == 0 && !status.ended && !down_) goes_down(now, status);
    if (attempt_ != nullptr && attempt_->done()) finish_attempt(now);
    status = end_->status();
    if (attempt_ != nullptr) {
      const auto dialed_at = attempt_->dialed_at();
      const auto due = dialed_at ? *dialed_at + options_.limits.hello_timeout : Clock::time_point::max();
      if (!status.ended && due > now) return std::min(again, due);
      attempt_->give_up();
      return again;
    }
    if (status.ended) return again;
    if (status.lines > 0) return std::min(again, widen(now, status));
    if (!down_) return now;  // it broke just now
    if (now < try_at_) return std::min(again, try_at_);
    start_attempt();
    return again;
  }

  // The last line broke, or there was none yet.
  void goes_down(Clock::time_point now, const LinkEnd::Status& status) {
    down_ = true;
    if (!welcomed_) {
      down_since_ = try_at_ = now;
      return;
    }
    // A line that breaks each time before anything has passed is no better than none.
    if (status.flowed_bytes > flowed_when_up_ || now - up_since_ >= options_.limits.dead_after) {
      down_since_ = now;
      back_off_.reset();
    }
    cause_ = status.why_broken;
    if (try_later(now)) say("the line to the target broke (" + cause_ + "); trying again");
  }

  // There is a line, and there may be more: where those that are there are held back, look for look.
  Clock::time_point widen(Clock::time_point now, const LinkEnd::Status& status) {
    const bool busy = status.flowed_bytes >= options_.line_more_after_bytes && !status.finished;
    if (!busy || status.lines >= lines_max_) return Clock::time_point::max();
    if (now < widen_at_) return widen_at_;
    held_back_looks_ = end_->is_held_back() ? held_back_looks_ + 1 : 0;
    if (held_back_looks_ < held_back_looks_min) return widen_at_ = now + between_looks;
    held_back_looks_ = 0;
    start_attempt();
    return Clock::time_point::max();
  }

  void start_attempt() {
    ++line_number_;
    attempt_ = std::make_unique<Attempt>(
        dial_,
        [this, number = line_number_, create = !welcomed_] {
          Attempt::Opening opening;
          opening.hello = {.link = id_, .secret = secret_, .create = create, .line = number,
                           .standing = end_->standing(), .lines_alive = end_->lines_alive()};
          if (create) end_->put_early(opening.early, number);
          return opening;
        },
        bell_);
  }

  void finish_attempt(Clock::time_point now) {
    Attempt::Result result = attempt_->take_result();
    attempt_.reset();
    if (result.failure != nullptr) end_->forget_early(line_number_);
    if (result.failure == nullptr) {
      try {
        if (end_->join(*result.line, result.welcome.standing, nullptr, lines_named_max) == LinkEnd::Joined::yes)
          has_line(now, result.welcome);
      } catch (...) {
        fail(std::current_exception());
      }
      return;
    }
    try {
      std::rethrow_exception(result.failure);
    } catch (const Error& error) {
      has_no_line(now, error, result);
    } catch (...) {
      fail(result.failure);
    }
  }

  void has_line(Clock::time_point now, const Welcome& welcome) {
    lines_max_ = std::clamp<std::size_t>(options_.lines_max, 1, std::min<std::size_t>(welcome.lines_max, lines_named_max));
    widening_back_off_.reset();
    if (down_) {
      if (welcomed_) say("the line to the target is back");
      down_ = false;
      up_since_ = now;
      flowed_when_up_ = end_->status().flowed_bytes;
    }
    if (!std::exchange(welcomed_, true)) opened_.set_value();
  }

  void has_no_line(Clock::time_point now, const Error& error, const Attempt::Result& result) {
    if (result.refused && !result.created && error.code() == ErrorCode::not_found)
      return end_->fail(Error(ErrorCode::unreachable, "the session at the target is gone", {}, error.what()), false);
    const bool worth_another = error.code() == ErrorCode::unreachable ||
                               (result.refused && welcomed_ && error.code() == ErrorCode::busy);
    const LinkEnd::Status status = end_->status();
    if (status.lines > 0) {  // it goes on with those that are there
      widen_at_ = now + (worth_another ? widening_back_off_.next() : options_.retry_max);
      return;
    }
    if (!worth_another) return fail(result.failure);
    if (!down_) goes_down(now, status);
    const bool news = cause_ != error.what();
    cause_ = error.what();
    if (!try_later(now, result.failure)) return;
    if (news) say("cannot reach the target (" + cause_ + "); trying again");
  }

  // False: patience is over, and so is the link.
  bool try_later(Clock::time_point now, const std::exception_ptr& failure = nullptr) {
    const auto patience = welcomed_ ? options_.patience : options_.first_patience;
    const Clock::time_point until = down_since_ + patience;
    if (now < until) {
      try_at_ = std::min(now + back_off_.next(), until);
      return true;
    }
    if (!welcomed_) {
      fail(failure);
    } else {
      end_->fail(Error(ErrorCode::unreachable, "the line to the target broke, and was not back within " +
                                                   in_words(patience), {}, cause_), false);
    }
    return false;
  }

  void fail(const std::exception_ptr& failure) noexcept {
    try {
      std::rethrow_exception(failure);
    } catch (const Error& error) {
      end_->fail(error, true);
    } catch (const std::exception& error) {
      end_->fail(Error(ErrorCode::failed, "cannot keep the line to the target", {}, error.what()), true);
    }
    if (!welcomed_ && !std::exchange(failed_to_open_, true)) opened_.set_exception(failure);
  }

  void say(const std::string& sentence) {
    if (options_.note) options_.note(sentence);
  }

  const Dial dial_;
  const LinkOptions options_;
  const std::shared_ptr<Bell> bell_;
  const std::shared_ptr<LinkEnd> end_;
  const Uuid id_ = Uuid::random();
  Secret secret_{};
  std::promise<void> opened_;
  std::atomic<bool> stopping_ = false;

  // The keeper's.
  std::unique_ptr<Attempt> attempt_;
  BackOff back_off_, widening_back_off_;
  std::uint32_t line_number_ = 0;
  std::size_t lines_max_ = 1;
  bool welcomed_ = false, down_ = false;  // has had a line; has none now
  bool failed_to_open_ = false;
  Clock::time_point down_since_{}, up_since_{}, try_at_{}, widen_at_{};
  unsigned held_back_looks_ = 0;  // one after another
  std::uint64_t flowed_when_up_ = 0;
  std::string cause_;

  std::thread keeper_;  // the last member: it uses the others
};

}  // namespace

std::unique_ptr<Transport> open_link(Dial dial, const LinkOptions& options) {
  auto link = std::make_unique<ClientLink>(std::move(dial), options);
  if (!options.begin_early) link->wait_until_open();
  return link;
}

}  // namespace vmferry::link
