#include "target-server/receive/frame_intake.h"

#include <algorithm>

#include "protocol/error.h"

namespace vmferry::target_server {

FrameIntake::FrameIntake(store::Store& store, std::size_t threads, std::size_t queue_bytes_max)
    : store_(store), key_(store.domain().key), queue_bytes_max_(queue_bytes_max) {
  for (std::size_t i = 0; i < std::max<std::size_t>(threads, 1); ++i) workers_.emplace_back([this] { work(); });
}

FrameIntake::~FrameIntake() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void FrameIntake::add(ByteView frame) {
  Bytes copy(frame.begin(), frame.end());
  std::unique_lock lock(mutex_);
  const auto fits = [&] { return queued_bytes_ == 0 || queued_bytes_ + copy.size() <= queue_bytes_max_; };
  changed_.wait(lock, [&] { return failure_ || fits(); });
  if (failure_) std::rethrow_exception(failure_);
  queued_bytes_ += copy.size();
  queue_.push_back(std::move(copy));
  changed_.notify_all();
}

void FrameIntake::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || queued_bytes_ == 0; });
  if (failure_) std::rethrow_exception(failure_);
}

void FrameIntake::check() const {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

std::uint64_t FrameIntake::stored_bytes() const {
  const std::lock_guard lock(mutex_);
  return stored_bytes_;
}

void FrameIntake::work() {
  FrameDecoder decoder;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || failure_ || !queue_.empty(); });
    if (failure_ || queue_.empty()) return;
    const Bytes frame = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();

    std::uint64_t stored = 0;
    std::exception_ptr failure;
    try {
      const FrameView view = parse_frame(frame);
      try {
        decoder.decode_verified(view, key_, [](const ChunkId&, ByteView) {});
      } catch (const Error& error) {
        // Its checksum was right: the sender made it so.
        throw Error(ErrorCode::malformed, "a frame was refused", {}, error.what());
      }
      stored = store_.append(view);
    } catch (...) {
      failure = std::current_exception();
    }

    lock.lock();
    queued_bytes_ -= frame.size();
    stored_bytes_ += stored;
    if (failure && !failure_) failure_ = failure;
    changed_.notify_all();
  }
}

}  // namespace vmferry::target_server
