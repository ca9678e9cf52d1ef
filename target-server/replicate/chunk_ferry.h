// ChunkFerry: brings the chunks of one point from one store to another. Their ids are offered in batches, many in
// flight; those that are wanted are asked for in the order in which they were added: as deltas where the base has
// others in their places, else as the frames that they are stored in, which travel on as they are where all of a
// frame is wanted. No step waits for a round trip per chunk. One owner, one thread; the sessions may be used beside
// it. A failure of any part is thrown by the owner's next call. Memory: what is offered and not answered,
// node_bytes_max of nodes, queue_bytes_max of frames.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "protocol/chunk_set.h"
#include "protocol/frame.h"
#include "protocol/session/target_session.h"
#include "target-server/replicate/crossing.h"
#include "target-server/replicate/node_packer.h"

namespace vmferry::target_server {

struct FerryOptions {
  std::size_t node_bytes_max = 16u << 20;
  std::size_t queue_bytes_max = 16u << 20;
  int compression_level = 3;  // of what is packed anew
  bool deltas = true;         // where the store that takes them knows them
  // Where the line lies: before the store that chunks come from, so that what comes is to be packed there; or behind it, so
  // that nodes can be packed here, as deltas against the base's where these are at hand.
  bool from_is_far = false;
  ChunkSource* base_nodes = nullptr;
  std::function<void()> tick = [] {};  // called now and then on the owner's thread
};

class ChunkFerry {
 public:
  ChunkFerry(target::TargetSession& from, target::TargetSession& to, const FerryOptions& options);
  ~ChunkFerry();  // what was not finished is given up
  ChunkFerry(const ChunkFerry&) = delete;
  ChunkFerry& operator=(const ChunkFerry&) = delete;

  void add_chunk(wire::ChunkWithBasis chunk);                     // that `from` has
  void add_node(wire::ChunkWithBasis node, ByteView content);     // that is at hand
  void finish();                                                  // until all that is wanted was sent
  FerryCounts counts() const { return crossing_->counts(); }

 private:
  void offer(OfferedChunks& chunks);
  void pump();
  void ask();
  void ask_whole(std::span<const ChunkId> ids);
  void ask_deltas(std::span<const wire::ChunkWithBasis> chunks);
  void flush_nodes();
  void wait_until(const std::function<bool()>& enough);
  void throw_if_over();
  void send_all();

  target::TargetSession& from_;
  target::TargetSession& to_;
  const FerryOptions options_;
  const bool deltas_;
  std::shared_ptr<Crossing> crossing_;
  ChunkSet offered_;
  OfferedChunks chunks_, nodes_;  // of the next offers
  std::vector<ChunkId> wanted_;   // of the next requests
  std::vector<wire::ChunkWithBasis> wanted_deltas_;
  NodePacker packer_;
  std::thread sender_;
};

}  // namespace vmferry::target_server
