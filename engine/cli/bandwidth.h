// Bandwidth: keeps the rate limits (each way has one) of this process's lines at what the schedule says, by the clock and after SIGHUP, which has
// the configuration read anew: a file that cannot be read leaves the former schedule, and is told. One thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "engine/cli/rate_schedule.h"
#include "protocol/link/rate_limit.h"

namespace vmferry::cli {

class Bandwidth {
 public:
  // reload: reads the schedule again; throws where it cannot. note: sentences for a person. Both on the thread.
  Bandwidth(RateSchedule schedule, std::function<RateSchedule()> reload, std::function<void(const std::string&)> note);
  ~Bandwidth();
  Bandwidth(const Bandwidth&) = delete;
  Bandwidth& operator=(const Bandwidth&) = delete;

  const std::shared_ptr<link::RateLimit>& sending() const noexcept { return sending_; }
  const std::shared_ptr<link::RateLimit>& receiving() const noexcept { return receiving_; }

 private:
  void run();
  void apply();

  RateSchedule schedule_;
  const std::function<RateSchedule()> reload_;
  const std::function<void(const std::string&)> note_;
  const std::shared_ptr<link::RateLimit> sending_, receiving_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace vmferry::cli
