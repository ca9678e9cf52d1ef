// FrameIntake: takes a session's frames from the wire into the store. The receiving thread queues them, bounded in
// bytes; workers decode each, check every chunk against its id, and append it. No frame reaches the store unverified.
// add(), drain() and check() belong to the receiving thread. The first failure stops the intake and is thrown by them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "target-server/store/store.h"

namespace vmferry::target_server {

class FrameIntake {
 public:
  FrameIntake(store::Store& store, std::size_t threads, std::size_t queue_bytes_max);
  ~FrameIntake();  // what is still queued is taken in first

  void add(ByteView frame);  // copies; waits while the queue is full
  void drain();              // until all that was added is appended
  void check() const;        // throws the failure, if there was one

  std::uint64_t stored_bytes() const;

 private:
  void work();

  store::Store& store_;
  const DomainKey key_;
  const std::size_t queue_bytes_max_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Bytes> queue_;
  std::size_t queued_bytes_ = 0;  // in the queue and in the workers' hands
  std::uint64_t stored_bytes_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> workers_;
};

}  // namespace vmferry::target_server
