#include "engine/cli/bandwidth.h"

#include <chrono>
#include <ctime>

#include "engine/cli/interrupts.h"
#include "protocol/error.h"

namespace vmferry::cli {
namespace {

constexpr std::chrono::seconds look_every{1};  // at the clock, which may be set, and for SIGHUP

WeekTime now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm local{};
  localtime_r(&seconds, &local);
  return {static_cast<unsigned>((local.tm_wday + 6) % 7), static_cast<unsigned>(local.tm_hour * 60 + local.tm_min)};
}

}  // namespace

Bandwidth::Bandwidth(RateSchedule schedule, std::function<RateSchedule()> reload,
                     std::function<void(const std::string&)> note)
    : schedule_(std::move(schedule)),
      reload_(std::move(reload)),
      note_(std::move(note)),
      sending_(std::make_shared<link::RateLimit>(schedule_.rate_at(now()))),
      receiving_(std::make_shared<link::RateLimit>(sending_->bytes_per_second())),
      thread_([this] { run(); }) {
  accept_reload_requests(true);
}

Bandwidth::~Bandwidth() {
  accept_reload_requests(false);
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Bandwidth::run() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, look_every, [this] { return stopping_; })) {
    if (take_reload_request()) try {
        schedule_ = reload_();
        note_("the bandwidth's timetable was read again");
      } catch (const std::exception& error) {
        note_(std::string("the former timetable stays: ") + error.what());
      }
    apply();
  }
}

void Bandwidth::apply() {
  const std::uint64_t rate = schedule_.rate_at(now());
  for (const auto& limit : {sending_, receiving_})
    if (rate != limit->bytes_per_second()) limit->set(rate);
}

}  // namespace vmferry::cli
