// Deadlines: aborts transports that take too long. One thread for all of them. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "protocol/transport/transport.h"

namespace vmferry {

class Deadlines {
 public:
  Deadlines() : thread_([this] { run(); }) {}
  ~Deadlines();  // no guard may be left

  // While the guard lives, the transport is aborted once `after` has passed. The transport outlives the guard.
  class Guard {
   public:
    Guard(Deadlines& deadlines, Transport& transport, std::chrono::milliseconds after);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    Deadlines& deadlines_;
    std::uint64_t number_ = 0;
  };

 private:
  using Clock = std::chrono::steady_clock;
  struct Deadline {
    Clock::time_point at;
    Transport* transport;
  };
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, Deadline> deadlines_;
  std::uint64_t next_number_ = 1;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace vmferry
