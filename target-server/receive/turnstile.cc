#include "target-server/receive/turnstile.h"

#include <iterator>
#include <limits>
#include <utility>

namespace vmferry::target_server {

Turnstile::Turn& Turnstile::Turn::operator=(Turn&& other) noexcept {
  give_back();
  state_ = std::move(other.state_);
  return *this;
}

void Turnstile::Turn::give_back() noexcept {
  const std::shared_ptr<State> state = std::exchange(state_, nullptr);
  if (!state) return;
  const std::lock_guard lock(state->mutex);
  ++state->free;
  state->changed.notify_all();
}

Turnstile::Turn Turnstile::take(const std::function<void(std::size_t before)>& waiting) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  const auto place = state.queue.insert(state.queue.end(), 0);
  const auto before = [&] { return static_cast<std::size_t>(std::distance(state.queue.begin(), place)); };
  try {
    for (std::size_t told = std::numeric_limits<std::size_t>::max();;) {
      const std::size_t now = before();
      if (now == 0 && state.free > 0) break;
      if (now < told) {
        told = now;
        lock.unlock();
        waiting(now);
        lock.lock();
        continue;
      }
      state.changed.wait(lock);
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    state.queue.erase(place);
    state.changed.notify_all();
    throw;
  }
  state.queue.erase(place);
  --state.free;
  state.changed.notify_all();
  return Turn(state_);
}

}  // namespace vmferry::target_server
