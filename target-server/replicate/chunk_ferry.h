// ChunkFerry: brings the chunks of one point from one store to another. Their ids are offered in batches, many in flight;
// those that are wanted are asked for in the order in which they were added, and travel on as the frames that they are
// stored in where all of a frame is wanted, else in new frames. No step waits for a round trip per chunk.
// One owner, one thread; the sessions may be used beside it. A failure of any part is thrown by the owner's next call.
// Memory: what is offered and not answered, node_bytes_max of nodes, queue_bytes_max of frames.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "protocol/chunk_set.h"
#include "protocol/frame.h"
#include "protocol/session/target_session.h"

namespace vmferry::target_server {

struct FerryOptions {
  std::size_t node_bytes_max = 16u << 20;
  std::size_t queue_bytes_max = 16u << 20;
  int compression_level = 3;        // of new frames
  std::function<void()> tick = [] {};  // called now and then on the owner's thread
};

struct FerryCounts {
  std::uint64_t offered_chunks = 0;
  std::uint64_t sent_chunks = 0, sent_nodes = 0;
  std::uint64_t whole_frames = 0, new_frames = 0;  // passed on as they are stored; made here
  std::uint64_t frame_bytes = 0;                   // of both
};

class ChunkFerry {
 public:
  ChunkFerry(target::TargetSession& from, target::TargetSession& to, const FerryOptions& options);
  ~ChunkFerry();  // what was not finished is given up
  ChunkFerry(const ChunkFerry&) = delete;
  ChunkFerry& operator=(const ChunkFerry&) = delete;

  void add_chunk(const ChunkId& id);                    // that `from` has
  void add_node(const ChunkId& id, ByteView content);   // that is at hand
  void finish();                                        // until all that is wanted was sent
  FerryCounts counts() const;

 private:
  struct Crossing;  // shared with the sessions' receiving threads
  struct Batch;

  void offer(Batch& batch);
  void pump();
  void throw_if_over();
  void ask();
  void wait_until(const std::function<bool()>& enough);
  void send_all();
  void flush_nodes();

  target::TargetSession& from_;
  target::TargetSession& to_;
  const FerryOptions options_;
  const DomainKey key_;
  std::shared_ptr<Crossing> crossing_;
  ChunkSet offered_;
  std::unique_ptr<Batch> chunks_, nodes_;  // of the next offers
  std::vector<ChunkId> wanted_;            // of the next request
  FrameBuilder node_frames_;
  std::thread sender_;
};

}  // namespace vmferry::target_server
