// FrameIntake: takes a session's frames and deltas from the wire into the store. The receiving thread queues them,
// bounded in bytes; workers decode each frame, rebuild each delta's chunks, check every chunk against its id, and
// append. Nothing reaches the store unverified. add(), add_delta(), drain() and check() belong to the receiving thread.
// The first failure stops the intake and is thrown by them; since a client that waits for a delta's answer may send
// nothing more, it is also told as it happens.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "protocol/error.h"
#include "target-server/serve/read_priority.h"
#include "target-server/store/decoded_frames.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

struct IntakeLimits {
  std::size_t threads = 1;
  std::size_t queue_bytes_max = 0;
  int rebuild_compression_level = 0;
  std::shared_ptr<ReadPriority> read_priority;  // null: no restore is let go first
};

// Both on a worker's thread.
struct IntakeEvents {
  // Once for each delta, after what was rebuilt is appended, unless the intake failed. Error{unreachable} from it is
  // dropped: the receiving thread finds the line's end by itself, and what arrived before it counts.
  std::function<void(std::uint64_t number, const std::vector<ChunkId>& whole)> delta_done;
  std::function<void(const Error& why)> failed;  // once at most; does not throw
};

struct IntakeCounts {
  std::uint64_t stored_bytes = 0;
  std::uint64_t deltas = 0, delta_chunks = 0;  // taken in, and chunks that were rebuilt from them
  std::uint64_t whole_again = 0;               // chunks that were not
};

class DeltaRebuilder;

class FrameIntake {
 public:
  FrameIntake(store::Store& store, const IntakeLimits& limits, IntakeEvents events);
  ~FrameIntake();  // what is still queued is taken in first

  void add(ByteView frame);                                  // copies; waits while the queue is full
  void add_delta(std::uint64_t number, ByteView delta_frame);  // the same
  void drop_deltas();  // those that no worker has begun: nobody waits for their answers any more
  void drain();                                              // until all that was added is appended and answered
  void check() const;                                        // throws the failure, if there was one

  IntakeCounts counts() const;

 private:
  struct Arrived {
    Bytes frame;
    std::optional<std::uint64_t> delta;  // its number; none: a frame
    std::size_t cost_bytes() const noexcept;
  };

  void add(Arrived arrived);
  void work();
  IntakeCounts take_in(const Arrived& arrived, FrameDecoder& decoder, DeltaRebuilder& rebuilder);
  std::uint64_t take_in_frame(ByteView frame, FrameDecoder& decoder);
  IntakeCounts take_in_delta(std::uint64_t number, ByteView delta_frame, DeltaRebuilder& rebuilder);
  void fail(std::exception_ptr why);

  store::Store& store_;
  const DomainKey key_;
  const IntakeLimits limits_;
  const IntakeEvents events_;
  store::DecodedFrames basis_frames_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Arrived> queue_;
  std::size_t queued_bytes_ = 0;  // in the queue and in the workers' hands
  IntakeCounts counts_;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> workers_;
};

}  // namespace vmferry::target_server
