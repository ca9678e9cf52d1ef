// ChunkSender: takes chunks that may be new, offers their ids to the target in batches, and sends those that it wants:
// in stream order into frames, compressed by a few threads. What is held is slices of slabs, so it is bounded by the
// slab pool. add(), slab_done(), flush() and finish() belong to one thread. A failure in any thread is thrown by the
// next of these calls. Destroying it stops and joins its threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "engine/backup/chunk_set.h"
#include "engine/backup/frame_queue.h"
#include "engine/backup/slab.h"
#include "engine/target/target_session.h"

namespace vmferry::backup {

struct SenderOptions {
  int compression_level = 3;
  unsigned threads = 1;
  std::size_t frame_bytes = 512u << 10;    // content of a frame, about
  std::size_t offer_bytes_max = 16u << 20;  // held before an offer goes out
};

class ChunkSender {
 public:
  ChunkSender(target::TargetSession& session, SlabPool& pool, const SenderOptions& options);
  ~ChunkSender();
  ChunkSender(const ChunkSender&) = delete;
  ChunkSender& operator=(const ChunkSender&) = delete;

  // `content` lies in `slab`. is_node: a metadata tree's node, counted apart. True where it had to be offered.
  bool add(const ChunkId& id, const SlabPointer& slab, ByteView content, bool is_node);
  // No more chunks of this slab will come: where few were taken of it, they are copied out, so that the slab is free.
  void slab_done();
  // Call before waiting for a slab: nothing is held back while memory is short.
  void flush_if_short_of_memory();
  void flush();
  // Waits until all is answered and sent.
  void finish();

  SentCounts sent() const { return queue_->sent(); }

 private:
  void compress_loop();

  target::TargetSession& session_;
  SlabPool& pool_;
  const SenderOptions options_;
  ChunkSet offered_;
  std::shared_ptr<FrameQueue> queue_;  // shared with answers that are still to come
  OfferBatch pending_;
  std::size_t first_of_slab_ = 0;      // in pending_.chunks
  std::vector<std::thread> threads_;
};

}  // namespace vmferry::backup
