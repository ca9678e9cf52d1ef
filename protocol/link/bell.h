// Bell: wakes a keeper. Rung from any thread; one thread waits.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace vmferry::link {

class Bell {
 public:
  void ring() noexcept {
    const std::lock_guard lock(mutex_);
    rung_ = true;
    wakes_.notify_one();
  }
  // Until it was rung since the last time, or until then.
  void wait_until(std::chrono::steady_clock::time_point then) {
    std::unique_lock lock(mutex_);
    if (then == std::chrono::steady_clock::time_point::max()) {
      wakes_.wait(lock, [this] { return rung_; });
    } else {
      wakes_.wait_until(lock, then, [this] { return rung_; });
    }
    rung_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable wakes_;
  bool rung_ = false;
};

}  // namespace vmferry::link
