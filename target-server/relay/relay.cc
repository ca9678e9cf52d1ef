#include "target-server/relay/relay.h"

#include <exception>
#include <mutex>
#include <thread>

namespace vmferry::target_server {
namespace {

constexpr std::size_t buffer_bytes = 256 * 1024;

// What was seen first; the rest is its consequence.
class FirstFailure {
 public:
  void remember(std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    if (!first_) first_ = failure;
  }
  void rethrow() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr first_;
};

void copy(Transport& from, Transport& to, FirstFailure& failure) {
  try {
    Bytes buffer(buffer_bytes);
    while (const std::size_t count = from.receive(buffer)) {
      const ByteView part = ByteView(buffer).first(count);
      to.send(std::span(&part, 1));
    }
    to.finish_sending();
  } catch (...) {
    failure.remember(std::current_exception());
    from.abort();
    to.abort();
  }
}

}  // namespace

void relay(Transport& one, Transport& other) {
  FirstFailure failure;
  std::thread backward([&] { copy(other, one, failure); });
  copy(one, other, failure);
  backward.join();
  failure.rethrow();
}

}  // namespace vmferry::target_server
