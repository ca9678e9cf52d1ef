// RateLimit: so many bytes a second, shared by all who ask it. A token bucket of at most 100 ms' worth (64 KiB at
// least), so a pause is not made up for by a burst. What passes may overdraw the bucket; whoever comes next waits for
// that. Thread-safe; the rate may change at any time (SIGHUP, the clock), also while somebody waits.
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
  // The same without waiting. Zero: they may pass, and are counted. Else ask again after so long: at most 100 ms, since
  // the rate may change.
  std::chrono::nanoseconds try_take(std::uint64_t bytes);
  // Counts what passes anyway, or has passed.
  void charge(std::uint64_t bytes);
  // How much to ask for at a time, so that nobody waits long for one piece: 50 ms' worth, from 512 bytes to 64 KiB.
  std::size_t piece_bytes() const;

  void set(std::uint64_t bytes_per_second);
  std::uint64_t bytes_per_second() const;
  void cancel() noexcept;  // for good: whoever waits goes on at once

 private:
  using Clock = std::chrono::steady_clock;
  void fill(Clock::time_point now);
  std::chrono::nanoseconds take_or_wait(std::uint64_t bytes);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t bytes_per_second_;
  double tokens_ = 64 * 1024;  // below 0: overdrawn
  Clock::time_point filled_ = Clock::now();
  bool cancelled_ = false;
};

}  // namespace vmferry::link
