// Attempt: one try of the client's to make a line: dials, says hello and reads the welcome, on a thread of its own, so
// that its link's keeper can keep time meanwhile. Rings the keeper's bell when it has dialed, and when it is done.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "protocol/link/bell.h"
#include "protocol/link/link_end.h"

namespace vmferry::link {

class Attempt {
 public:
  using Clock = std::chrono::steady_clock;
  struct Opening {
    Hello hello;
    Bytes early;  // records right behind it
  };
  // open: asked once the transport is there, so that it says where the link stands then. Both are called on the attempt's
  // thread.
  Attempt(const Dial& dial, std::function<Opening()> open, std::shared_ptr<Bell> bell);
  ~Attempt();  // gives up, and waits until dial() has returned

  bool done() const;
  std::optional<Clock::time_point> dialed_at() const;  // from then on the target has hello_timeout
  void give_up() noexcept;

  // Once done: the line and the target's welcome, or why there is none.
  struct Result {
    std::optional<NewLine> line;
    Welcome welcome;
    std::exception_ptr failure;
    bool refused = false;  // by the target: failure is what it said
    bool created = false;  // as the hello said
  };
  Result take_result();

 private:
  void run() noexcept;
  void greet();

  const Dial& dial_;
  const std::function<Opening()> open_;
  const std::shared_ptr<Bell> bell_;
  mutable std::mutex mutex_;
  std::unique_ptr<Transport> transport_;
  std::optional<Clock::time_point> dialed_at_;
  bool given_up_ = false, done_ = false;
  Result result_;
  std::thread thread_;
};

}  // namespace vmferry::link
