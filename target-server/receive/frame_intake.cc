#include "target-server/receive/frame_intake.h"

#include <algorithm>

#include "protocol/limits.h"
#include "target-server/receive/delta_rebuilder.h"

namespace vmferry::target_server {
namespace {

constexpr std::size_t basis_cache_bytes_max = 16 * limits::MiB;
constexpr std::size_t arrived_overhead_bytes = 256;  // so that a queue of empty packets has its bound too

}  // namespace

std::size_t FrameIntake::Arrived::cost_bytes() const noexcept { return frame.size() + arrived_overhead_bytes; }

FrameIntake::FrameIntake(store::Store& store, const IntakeLimits& limits, IntakeEvents events)
    : store_(store),
      key_(store.domain().key),
      limits_(limits),
      events_(std::move(events)),
      basis_frames_(store, basis_cache_bytes_max, std::nullopt) {
  for (std::size_t i = 0; i < std::max<std::size_t>(limits_.threads, 1); ++i) workers_.emplace_back([this] { work(); });
}

FrameIntake::~FrameIntake() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void FrameIntake::add(ByteView frame) { add(Arrived{Bytes(frame.begin(), frame.end()), std::nullopt}); }

void FrameIntake::add_delta(std::uint64_t number, ByteView delta_frame) {
  add(Arrived{Bytes(delta_frame.begin(), delta_frame.end()), number});
}

void FrameIntake::add(Arrived arrived) {
  const std::size_t cost_bytes = arrived.cost_bytes();
  std::unique_lock lock(mutex_);
  const auto fits = [&] { return queued_bytes_ == 0 || queued_bytes_ + cost_bytes <= limits_.queue_bytes_max; };
  changed_.wait(lock, [&] { return failure_ || fits(); });
  if (failure_) std::rethrow_exception(failure_);
  queued_bytes_ += cost_bytes;
  queue_.push_back(std::move(arrived));
  changed_.notify_all();
}

void FrameIntake::drop_deltas() {
  const std::lock_guard lock(mutex_);
  std::erase_if(queue_, [&](const Arrived& arrived) {
    if (arrived.delta) queued_bytes_ -= arrived.cost_bytes();
    return arrived.delta.has_value();
  });
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

IntakeCounts FrameIntake::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void FrameIntake::work() {
  FrameDecoder decoder;
  DeltaRebuilder rebuilder(store_, basis_frames_, limits_.rebuild_compression_level);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || failure_ || !queue_.empty(); });
    if (failure_ || queue_.empty()) return;
    const Arrived arrived = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();

    if (limits_.read_priority) limits_.read_priority->yield_to_readers();
    IntakeCounts added;
    std::exception_ptr failure;
    try {
      added = take_in(arrived, decoder, rebuilder);
    } catch (...) {
      failure = std::current_exception();
    }

    lock.lock();
    counts_.stored_bytes += added.stored_bytes;
    counts_.deltas += added.deltas;
    counts_.delta_chunks += added.delta_chunks;
    counts_.whole_again += added.whole_again;
    queued_bytes_ -= arrived.cost_bytes();
    const bool first_failure = failure && !failure_;
    if (first_failure) failure_ = failure;
    changed_.notify_all();
    if (first_failure) {
      lock.unlock();
      fail(failure);
      lock.lock();
    }
  }
}

IntakeCounts FrameIntake::take_in(const Arrived& arrived, FrameDecoder& decoder, DeltaRebuilder& rebuilder) {
  if (arrived.delta) return take_in_delta(*arrived.delta, arrived.frame, rebuilder);
  IntakeCounts added;
  added.stored_bytes = take_in_frame(arrived.frame, decoder);
  return added;
}

std::uint64_t FrameIntake::take_in_frame(ByteView frame, FrameDecoder& decoder) {
  const FrameView view = parse_frame(frame);
  try {
    decoder.decode_verified(view, key_, [](const ChunkId&, ByteView) {});
  } catch (const Error& error) {
    // Its checksum was right: the sender made it so.
    throw Error(ErrorCode::malformed, "a frame was refused", {}, error.what());
  }
  return store_.append(view);
}

IntakeCounts FrameIntake::take_in_delta(std::uint64_t number, ByteView delta_frame, DeltaRebuilder& rebuilder) {
  IntakeCounts added;
  Rebuilt rebuilt;
  try {
    rebuilt = rebuilder.rebuild(delta_frame);
  } catch (const Error& error) {
    throw Error(ErrorCode::malformed, "a delta was refused", {}, error.what());
  }
  if (!rebuilt.frame.empty()) added.stored_bytes = store_.append(parse_frame(rebuilt.frame));
  added.deltas = 1;
  added.delta_chunks = rebuilt.chunks;
  added.whole_again = rebuilt.whole.size();
  try {
    events_.delta_done(number, rebuilt.whole);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unreachable) throw;
  }
  return added;
}

void FrameIntake::fail(std::exception_ptr why) {
  try {
    std::rethrow_exception(why);
  } catch (const Error& error) {
    events_.failed(error);
  } catch (const std::exception& error) {
    events_.failed(Error(ErrorCode::failed, "the target failed", {}, error.what()));
  }
}

}  // namespace vmferry::target_server
