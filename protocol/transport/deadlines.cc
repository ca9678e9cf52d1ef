#include "protocol/transport/deadlines.h"

#include <optional>

namespace vmferry {

Deadlines::~Deadlines() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

// Aborts under the mutex, so that a guard that is gone leaves its transport alone.
void Deadlines::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto now = Clock::now();
    std::optional<Clock::time_point> next;
    for (auto& [number, deadline] : deadlines_) {
      if (deadline.transport == nullptr) continue;
      if (deadline.at <= now) {
        deadline.transport->abort();
        deadline.transport = nullptr;
      } else if (!next || deadline.at < *next) {
        next = deadline.at;
      }
    }
    if (next)
      changed_.wait_until(lock, *next);
    else
      changed_.wait(lock);
  }
}

Deadlines::Guard::Guard(Deadlines& deadlines, Transport& transport, std::chrono::milliseconds after)
    : deadlines_(deadlines) {
  const std::lock_guard lock(deadlines_.mutex_);
  number_ = deadlines_.next_number_++;
  deadlines_.deadlines_.emplace(number_, Deadline{Clock::now() + after, &transport});
  deadlines_.changed_.notify_all();
}

Deadlines::Guard::~Guard() {
  const std::lock_guard lock(deadlines_.mutex_);
  deadlines_.deadlines_.erase(number_);
}

}  // namespace vmferry
