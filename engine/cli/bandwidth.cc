#include "engine/cli/bandwidth.h"

#include <utility>

#include "engine/cli/interrupts.h"

namespace vmferry::cli {
namespace {

constexpr std::chrono::seconds look_every{1};  // at the clock, which may be set, and for SIGHUP

}  // namespace

Bandwidth::Bandwidth(RateSchedule schedule, BandwidthSource source)
    : schedule_(std::move(schedule)),
      source_(std::move(source)),
      sending_(std::make_shared<link::RateLimit>(rate_at(schedule_, source_.now()))),
      receiving_(std::make_shared<link::RateLimit>(sending_->bytes_per_second())),
      thread_([this] { run(); }) {}

Bandwidth::~Bandwidth() {
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
    if (take_reload_request()) read_anew();
    apply();
  }
}

void Bandwidth::read_anew() {
  try {
    schedule_ = source_.reload();
    source_.note("the bandwidth was read again: the limit is now " + rate_text(rate_at(schedule_, source_.now())));
  } catch (const std::exception& error) {
    source_.note(std::string("the former bandwidth stays: ") + error.what());
  }
}

void Bandwidth::apply() {
  const BytesPerSecond rate = rate_at(schedule_, source_.now());
  for (const auto& limit : {sending_, receiving_})
    if (rate != limit->bytes_per_second()) limit->set(rate);
}

}  // namespace vmferry::cli
