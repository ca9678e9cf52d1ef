// Turnstile: at most so many at a time, in the order in which they came. Thread-safe. A Turn gives its place back when
// it is gone; it may outlive the turnstile.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

namespace vmferry::target_server {

class Turnstile {
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t free = 0;
    std::list<int> queue;  // one node for each that waits
  };

 public:
  explicit Turnstile(std::size_t turns_max) : state_(std::make_shared<State>()) { state_->free = turns_max; }

  class Turn {
   public:
    Turn() = default;
    Turn(Turn&& other) noexcept = default;
    Turn& operator=(Turn&& other) noexcept;
    ~Turn() { give_back(); }

   private:
    friend class Turnstile;
    explicit Turn(std::shared_ptr<State> state) : state_(std::move(state)) {}
    void give_back() noexcept;
    std::shared_ptr<State> state_;
  };

  // While it waits, `waiting` is called with the number of those before it, at first and whenever that falls; what it
  // throws ends the waiting.
  Turn take(const std::function<void(std::size_t before)>& waiting);

 private:
  std::shared_ptr<State> state_;
};

}  // namespace vmferry::target_server
