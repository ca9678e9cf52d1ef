// RateLimit: so many bytes a second, shared by all who call take(). A token bucket of at most 100 ms' worth (64 KiB at
// least), so a pause is not made up for by a burst. Thread-safe; the rate may change at any time (SIGHUP, the clock), also
// while somebody waits.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace vmferry::link {

class RateLimit {
 public:
  explicit RateLimit(std::uint64_t bytes_per_second = 0) : bytes_per_second_(bytes_per_second) {}  // 0: none

  // Waits until `bytes` may pass. False: cancel() was called meanwhile, or before.
  bool take(std::uint64_t bytes);
  void set(std::uint64_t bytes_per_second);
  std::uint64_t bytes_per_second() const;
  void cancel() noexcept;  // for good: whoever waits goes on at once

 private:
  using Clock = std::chrono::steady_clock;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t bytes_per_second_;
  double tokens_ = 0;
  Clock::time_point filled_ = Clock::now();
  bool cancelled_ = false;
};

}  // namespace vmferry::link
