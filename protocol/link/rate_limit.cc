#include "protocol/link/rate_limit.h"

#include <algorithm>

namespace vmferry::link {
namespace {

constexpr double bucket_seconds = 0.1;
constexpr double bucket_bytes_min = 64 * 1024;
constexpr double piece_seconds = 0.05;
constexpr double piece_bytes_min = 512, piece_bytes_max = 64 * 1024;
constexpr std::chrono::nanoseconds wait_max = std::chrono::milliseconds(100);

}  // namespace

bool RateLimit::take(std::uint64_t bytes) {
  std::unique_lock lock(mutex_);
  while (!cancelled_) {
    const auto wait = take_or_wait(bytes);
    if (wait == std::chrono::nanoseconds::zero()) return true;
    changed_.wait_for(lock, wait);
  }
  return false;
}

std::chrono::nanoseconds RateLimit::try_take(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  return take_or_wait(bytes);
}

void RateLimit::charge(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes_per_second_ == 0 || cancelled_) return;
  fill(Clock::now());
  tokens_ -= static_cast<double>(bytes);
}

std::size_t RateLimit::piece_bytes() const {
  const std::lock_guard lock(mutex_);
  if (bytes_per_second_ == 0) return static_cast<std::size_t>(piece_bytes_max);
  return static_cast<std::size_t>(
      std::clamp(static_cast<double>(bytes_per_second_) * piece_seconds, piece_bytes_min, piece_bytes_max));
}

void RateLimit::set(std::uint64_t bytes_per_second) {
  const std::lock_guard lock(mutex_);
  fill(Clock::now());
  // A debt that was small at the former rate must not become a long wait at a slower one.
  if (bytes_per_second_ == 0 || bytes_per_second < bytes_per_second_) tokens_ = std::max(tokens_, 0.0);
  bytes_per_second_ = bytes_per_second;
  changed_.notify_all();
}

std::uint64_t RateLimit::bytes_per_second() const {
  const std::lock_guard lock(mutex_);
  return bytes_per_second_;
}

void RateLimit::cancel() noexcept {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  changed_.notify_all();
}

void RateLimit::fill(Clock::time_point now) {
  const double rate = static_cast<double>(bytes_per_second_);
  tokens_ += rate * std::chrono::duration<double>(now - filled_).count();
  tokens_ = std::min(tokens_, std::max(rate * bucket_seconds, bucket_bytes_min));
  filled_ = now;
}

std::chrono::nanoseconds RateLimit::take_or_wait(std::uint64_t bytes) {
  if (bytes_per_second_ == 0 || cancelled_) return std::chrono::nanoseconds::zero();
  fill(Clock::now());
  if (tokens_ >= 0) {
    tokens_ -= static_cast<double>(bytes);
    return std::chrono::nanoseconds::zero();
  }
  const std::chrono::duration<double> wait(-tokens_ / static_cast<double>(bytes_per_second_));
  return std::clamp(std::chrono::duration_cast<std::chrono::nanoseconds>(wait), std::chrono::nanoseconds(1'000'000),
                    wait_max);
}

}  // namespace vmferry::link
