// The memory transport: two bounded rings and the two ends that share them.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "protocol/error.h"
#include "protocol/transport/transport.h"

namespace vmferry {
namespace {

[[noreturn]] void throw_gone() { throw Error(ErrorCode::unreachable, "the other end of the session is gone"); }

// One direction. Its reader and its writer each call from one thread; abort() comes from any.
class Ring {
 public:
  explicit Ring(std::size_t capacity) : buffer_(std::max<std::size_t>(capacity, 1)) {}

  void write(ByteView bytes) {
    while (!bytes.empty()) {
      std::unique_lock lock(mutex_);
      writable_.wait(lock, [&] { return aborted_ || size_ < buffer_.size(); });
      if (aborted_) throw_gone();
      const std::size_t at = (begin_ + size_) % buffer_.size();
      const std::size_t count = std::min({bytes.size(), buffer_.size() - size_, buffer_.size() - at});
      std::memcpy(buffer_.data() + at, bytes.data(), count);
      size_ += count;
      bytes = bytes.subspan(count);
      lock.unlock();
      readable_.notify_one();
    }
  }

  std::size_t read(std::span<std::byte> into) {
    std::unique_lock lock(mutex_);
    readable_.wait(lock, [&] { return aborted_ || finished_ || size_ > 0; });
    if (aborted_) throw_gone();
    const std::size_t count = std::min({into.size(), size_, buffer_.size() - begin_});
    if (count > 0) std::memcpy(into.data(), buffer_.data() + begin_, count);
    begin_ = (begin_ + count) % buffer_.size();
    size_ -= count;
    lock.unlock();
    writable_.notify_one();
    return count;
  }

  void finish() noexcept {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    readable_.notify_all();
  }

  void abort() noexcept {
    const std::lock_guard lock(mutex_);
    aborted_ = true;
    readable_.notify_all();
    writable_.notify_all();
  }

  // The writer's end is destroyed: what was finished can still be read.
  void writer_gone() noexcept {
    const std::lock_guard lock(mutex_);
    if (!finished_) aborted_ = true;
    readable_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable readable_, writable_;
  Bytes buffer_;
  std::size_t begin_ = 0, size_ = 0;
  bool finished_ = false, aborted_ = false;
};

class MemoryTransport final : public Transport {
 public:
  MemoryTransport(std::shared_ptr<Ring> outgoing, std::shared_ptr<Ring> incoming)
      : outgoing_(std::move(outgoing)), incoming_(std::move(incoming)) {}
  ~MemoryTransport() override {
    outgoing_->writer_gone();
    incoming_->abort();
  }

  void send(std::span<const ByteView> parts) override {
    for (const ByteView part : parts) {
      outgoing_->write(part);
      sent_bytes_ += part.size();
    }
  }
  std::size_t receive(std::span<std::byte> into) override {
    const std::size_t count = incoming_->read(into);
    received_bytes_ += count;
    return count;
  }
  void finish_sending() override { outgoing_->finish(); }
  void abort() noexcept override {
    outgoing_->abort();
    incoming_->abort();
  }
  TransportCounts counts() const noexcept override { return {sent_bytes_, received_bytes_}; }

 private:
  std::shared_ptr<Ring> outgoing_, incoming_;
  std::atomic<std::uint64_t> sent_bytes_ = 0, received_bytes_ = 0;
};

}  // namespace

std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> memory_transport(std::size_t buffer_bytes) {
  const auto up = std::make_shared<Ring>(buffer_bytes);
  const auto down = std::make_shared<Ring>(buffer_bytes);
  return {std::make_unique<MemoryTransport>(up, down), std::make_unique<MemoryTransport>(down, up)};
}

}  // namespace vmferry
