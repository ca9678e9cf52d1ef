// Crossing: what the threads of a ferry share: its owner, the two sessions' receiving threads, and its sender. Ids that
// were offered come back as wanted; frames and deltas wait to be sent, bounded in bytes. Thread-safe. It outlives the
// ferry for as long as answers are to come.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "protocol/delta_request.h"
#include "protocol/session/target_session.h"

namespace vmferry::target_server {

struct FerryCounts {
  std::uint64_t offered_chunks = 0;
  std::uint64_t sent_chunks = 0, sent_nodes = 0;
  std::uint64_t whole_frames = 0, new_frames = 0;  // passed on as they are stored; made here
  std::uint64_t delta_frames = 0;
  std::uint64_t frame_bytes = 0, delta_bytes = 0;  // on the wire
  std::uint64_t whole_again = 0;                   // chunks whose delta was of no use

  FerryCounts& operator+=(const FerryCounts& more);
};

// Chunks that are offered together. Of nodes the contents are held, beside the ids.
struct OfferedChunks {
  std::vector<wire::ChunkWithBasis> chunks;
  std::vector<Bytes> contents;
  std::size_t content_bytes = 0;
  bool again = false;  // a delta of them was of no use
};

struct Outgoing {
  enum class Kind { stored_frame, new_frame, delta };
  Kind kind = Kind::stored_frame;
  Bytes bytes;
  std::vector<std::size_t> wanted;  // of a stored frame's chunks; none: all
};

class Crossing {
 public:
  Crossing(std::size_t node_bytes_max, std::size_t queue_bytes_max)
      : node_bytes_max_(node_bytes_max), queue_bytes_max_(queue_bytes_max) {}

  void fail(std::exception_ptr why);  // the first failure is kept
  // Throws it. True where the session that chunks go to broke: its next call says why.
  bool throw_if_failed();

  // --- offers
  void offer_begins(const OfferedChunks& offered);
  void answered(OfferedChunks& offered, const target::WantBitmap& wanted);
  std::optional<OfferedChunks> take_wanted();
  bool room_for_nodes(std::size_t bytes) const;  // under wait()
  bool all_answered() const { return offers_open_ == 0; }  // likewise

  // --- requests to the session that chunks come from
  void request_begins();
  void request_ended(std::exception_ptr failure);

  // --- what is to be sent
  bool put(Outgoing outgoing);  // waits for room; false where it is over
  std::optional<Outgoing> take();
  void sent(const Outgoing& outgoing);
  void sent_new_frame(std::size_t bytes);
  void delta_answered(const std::optional<std::vector<ChunkId>>& whole);
  void close();  // no more will be put
  // Nothing is on its way to here, or waits to be sent, or for a delta's answer.
  bool quiet() const { return requests_open_ == 0 && unsent_ == 0 && deltas_open_ == 0; }  // under wait()

  // Until something is wanted, it is over, or `enough` (called under the mutex). True for enough alone.
  bool wait(const std::function<bool()>& enough);
  FerryCounts counts() const;

 private:
  bool over() const { return failure_ || to_broke_; }

  const std::size_t node_bytes_max_, queue_bytes_max_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::exception_ptr failure_;
  bool to_broke_ = false;
  std::size_t offers_open_ = 0, requests_open_ = 0, deltas_open_ = 0;
  std::size_t node_bytes_ = 0;        // offered, or wanted and not taken
  std::deque<OfferedChunks> wanted_;
  std::deque<Outgoing> queue_;
  std::size_t queue_bytes_ = 0, unsent_ = 0;
  bool closed_ = false;
  FerryCounts counts_;
};

}  // namespace vmferry::target_server
