// Bandwidth: keeps the rate limits (each way has one) of this process's lines at what the schedule says, by the clock
// and after SIGHUP, which has the configuration read anew: what cannot be read leaves the former schedule, and is told.
// One thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "engine/cli/rate_schedule.h"
#include "protocol/link/rate_limit.h"

namespace vmferry::cli {

struct BandwidthSource {
  std::function<RateSchedule()> reload;          // reads the schedule again; throws where it cannot
  std::function<void(const std::string&)> note;  // sentences for a person
  std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
};

class Bandwidth {
 public:
  // What the source names is called on the thread, and `now` here first.
  Bandwidth(RateSchedule schedule, BandwidthSource source);
  ~Bandwidth();
  Bandwidth(const Bandwidth&) = delete;
  Bandwidth& operator=(const Bandwidth&) = delete;

  const std::shared_ptr<link::RateLimit>& sending() const noexcept { return sending_; }
  const std::shared_ptr<link::RateLimit>& receiving() const noexcept { return receiving_; }

 private:
  void run();
  void read_anew();
  void apply();

  RateSchedule schedule_;
  const BandwidthSource source_;
  const std::shared_ptr<link::RateLimit> sending_, receiving_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace vmferry::cli
