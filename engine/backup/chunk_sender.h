// ChunkSender: takes chunks that may be new, offers their ids to the target in batches, and sends those that it wants:
// in stream order into frames, as deltas where that pays, compressed by a few threads, which also sign what the target now
// has. What is held is slices of slabs, so it is bounded by the slab pool. add(), sign(), slab_done(), flush() and finish()
// belong to one thread. A failure in any thread is thrown by the next of these calls. Destroying it stops and joins its
// threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "protocol/chunk_set.h"
#include "engine/backup/compression_governor.h"
#include "engine/backup/frame_queue.h"
#include "engine/backup/slab.h"
#include "engine/catalog/signature_store.h"
#include "protocol/session/target_session.h"
#include "protocol/delta/signature.h"

namespace vmferry::backup {

class DeltaEncoder;

struct SenderOptions {
  CompressionChoice compression;
  unsigned threads = 1;
  std::size_t frame_bytes = 512u << 10;    // content of a frame, about
  std::size_t offer_bytes_max = 16u << 20;  // held before an offer goes out
  std::size_t held_bytes_max = 16u << 20;   // content of deltas that the target has not answered
  bool deltas = true;                       // where the target takes them
  delta::SignatureParameters signing = delta::chunk_signing;
};

class ChunkSender {
 public:
  // signatures: null: no deltas, and nothing is signed.
  ChunkSender(target::TargetSession& session, SlabPool& pool, TrafficLedger& traffic,
              catalog::SignatureStore* signatures, const SenderOptions& options);
  ~ChunkSender();
  ChunkSender(const ChunkSender&) = delete;
  ChunkSender& operator=(const ChunkSender&) = delete;

  // Called before chunks leave for the target: whoever still fills in their runs completes them.
  void before_flush(std::function<void()> complete) { before_flush_ = std::move(complete); }

  // `content` lies in `slab`. What was offered before is not offered again.
  void add(const ChunkId& id, const SlabPointer& slab, ByteView content, ChunkFacts facts);
  // A known chunk whose signature may be missing.
  void sign(const ChunkId& id, const SlabPointer& slab, ByteView content);
  // No more chunks of this slab will come: where few were taken of it, they are copied out, so that the slab is free.
  void slab_done();
  // Call before waiting for a slab: nothing is held back while memory is short.
  void flush_if_short_of_memory();
  void flush();
  // Waits until all is answered and sent.
  void finish();

  SentCounts sent() const { return queue_->sent(); }
  bool deltas() const noexcept { return deltas_; }

 private:
  void compress_loop();
  void send(const std::shared_ptr<const FrameWork>& work, FrameBuilder& builder, DeltaEncoder* deltas,
            FrameTiming& timing);
  void hold(OfferedChunk chunk, const SlabPointer& slab);
  void sign_all(const FrameWork& work);
  void account(const FrameWork& work, const std::vector<std::uint32_t>* literal_bytes, std::size_t wire_bytes);
  [[noreturn]] void throw_session_ended();

  target::TargetSession& session_;
  SlabPool& pool_;
  TrafficLedger& traffic_;
  catalog::SignatureStore* const signatures_;
  const SenderOptions options_;
  const bool deltas_;
  CompressionGovernor governor_;
  ChunkSet offered_;
  std::function<void()> before_flush_;
  std::shared_ptr<FrameQueue> queue_;  // shared with answers that are still to come
  OfferBatch pending_;
  std::size_t first_of_slab_ = 0;      // in pending_.chunks
  std::vector<std::thread> threads_;
};

}  // namespace vmferry::backup
