// BackOff: how long to wait before the next try: doubled each time, with jitter, so that the clients of a target that
// was restarted do not all come at once.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace vmferry::link {

class BackOff {
 public:
  BackOff(std::chrono::milliseconds least, std::chrono::milliseconds most)
      : least_(std::max(least, std::chrono::milliseconds(1))), most_(std::max(most, least_)), next_(least_) {}

  // Half of it to all of it; the first one after reset(): anything up to it, for most lines are back at once.
  std::chrono::milliseconds next() {
    const auto whole = next_;
    const auto from = first_ ? std::chrono::milliseconds(0) : whole / 2;
    if (!first_) next_ = std::min(most_, whole * 2);
    first_ = false;
    std::uniform_int_distribution<std::chrono::milliseconds::rep> between(from.count(), whole.count());
    return std::chrono::milliseconds(between(random_));
  }
  void reset() noexcept {
    next_ = least_;
    first_ = true;
  }

 private:
  const std::chrono::milliseconds least_, most_;
  std::chrono::milliseconds next_;
  bool first_ = true;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace vmferry::link
