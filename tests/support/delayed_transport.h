// A pair of ends with a long line between them: each byte arrives `delay` after it was sent, however many are under way.
// It counts dependent round trips: what the client sends belongs to the round after the latest whose answer it has seen, what
// the server sends to the latest round that it has seen. So what is pipelined counts once, and what waits for an answer
// counts one more. The delay only keeps answers from coming before everything that does not wait for them was sent.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include "protocol/error.h"
#include "protocol/transport/transport.h"

namespace vmferry::test {

class DelayedLine {
 public:
  explicit DelayedLine(std::chrono::milliseconds delay) : delay_(delay) {}

  void send(std::span<const ByteView> parts, unsigned round) {
    const std::lock_guard lock(mutex_);
    if (broken_) throw Error(ErrorCode::unreachable, "the other end of the session is gone");
    Block block{Clock::now() + delay_, round, {}};
    for (const ByteView part : parts) block.bytes.insert(block.bytes.end(), part.begin(), part.end());
    if (!block.bytes.empty()) blocks_.push_back(std::move(block));
    changed_.notify_all();
  }
  // The bytes, and the round that they belong to.
  std::pair<std::size_t, unsigned> receive(std::span<std::byte> into) {
    std::unique_lock lock(mutex_);
    while (true) {
      if (broken_) throw Error(ErrorCode::unreachable, "the other end of the session is gone");
      if (blocks_.empty() && finished_) return {0, 0};
      if (blocks_.empty()) {
        changed_.wait(lock);
      } else if (Clock::now() < blocks_.front().arrives) {
        changed_.wait_until(lock, blocks_.front().arrives);
      } else {
        break;
      }
    }
    Block& first = blocks_.front();
    const std::size_t count = std::min(into.size(), first.bytes.size() - first.taken);
    std::memcpy(into.data(), first.bytes.data() + first.taken, count);
    first.taken += count;
    const unsigned round = first.round;
    if (first.taken == first.bytes.size()) blocks_.pop_front();
    return {count, round};
  }
  void finish(bool broken) noexcept {
    const std::lock_guard lock(mutex_);
    (broken ? broken_ : finished_) = true;
    changed_.notify_all();
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Block {
    Clock::time_point arrives;
    unsigned round;
    Bytes bytes;
    std::size_t taken = 0;
  };
  const std::chrono::milliseconds delay_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Block> blocks_;
  bool finished_ = false, broken_ = false;
};

class DelayedEnd final : public Transport {
 public:
  DelayedEnd(std::shared_ptr<DelayedLine> out, std::shared_ptr<DelayedLine> in, bool is_client)
      : out_(std::move(out)), in_(std::move(in)), is_client_(is_client) {}
  ~DelayedEnd() override { abort(); }

  void send(std::span<const ByteView> parts) override {
    out_->send(parts, seen_ + (is_client_ ? 1 : 0));
    for (const ByteView part : parts) sent_bytes_ += part.size();
  }
  std::size_t receive(std::span<std::byte> into) override {
    const auto [count, round] = in_->receive(into);
    if (round > seen_) seen_ = round;
    received_bytes_ += count;
    return count;
  }
  void finish_sending() override { out_->finish(false); }
  void abort() noexcept override {
    out_->finish(true);
    in_->finish(true);
  }
  TransportCounts counts() const noexcept override { return {sent_bytes_, received_bytes_}; }

  // Of the client's end: answers that it waited for, one after another.
  unsigned round_trips() const noexcept { return seen_; }

 private:
  const std::shared_ptr<DelayedLine> out_, in_;
  const bool is_client_;
  std::atomic<unsigned> seen_ = 0;
  std::atomic<std::uint64_t> sent_bytes_ = 0, received_bytes_ = 0;
};

struct DelayedPair {
  std::unique_ptr<DelayedEnd> client, server;
};
inline DelayedPair delayed_transport(std::chrono::milliseconds one_way) {
  const auto up = std::make_shared<DelayedLine>(one_way), down = std::make_shared<DelayedLine>(one_way);
  return {std::make_unique<DelayedEnd>(up, down, true), std::make_unique<DelayedEnd>(down, up, false)};
}

}  // namespace vmferry::test
