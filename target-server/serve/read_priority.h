// ReadPriority: restores go before backups. Whoever takes a backup's frame in first lets the restores of all sessions
// read from the store's disk, for a bounded time: a backup gets slower, and never stops. Shared by all sessions of a
// server. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace vmferry::target_server {

class ReadPriority {
 public:
  // yield_max: how long one frame waits at most.
  explicit ReadPriority(std::chrono::milliseconds yield_max = std::chrono::milliseconds(50)) : yield_max_(yield_max) {}

  // A restore that is reading from the disk; not while it waits for its line.
  class Reading {
   public:
    explicit Reading(ReadPriority& priority) : priority_(priority) {
      const std::lock_guard lock(priority_.mutex_);
      ++priority_.readings_;
    }
    ~Reading() {
      {
        const std::lock_guard lock(priority_.mutex_);
        --priority_.readings_;
      }
      priority_.changed_.notify_all();
    }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

   private:
    ReadPriority& priority_;
  };

  // False where somebody was still reading when the time was over.
  bool yield_to_readers() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, yield_max_, [this] { return readings_ == 0; });
  }

 private:
  const std::chrono::milliseconds yield_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t readings_ = 0;
};

}  // namespace vmferry::target_server
