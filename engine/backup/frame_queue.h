// FrameQueue: offered batches on their way from the target's answer to the compressing threads. Thread-safe.
// It is full of slices, never of copies: the frame builder makes the only copy of a chunk.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/target/target_session.h"
#include "protocol/frame.h"

namespace vmferry::backup {

struct OfferedChunk {
  ChunkId id;
  const std::byte* data = nullptr;
  std::uint32_t length = 0;
  bool is_node = false;
};

struct OfferBatch {
  std::vector<OfferedChunk> chunks;
  std::vector<std::shared_ptr<const void>> owners;  // of the chunks' bytes
  std::size_t bytes = 0;
};

struct SentCounts {
  std::uint64_t chunks = 0, bytes = 0;      // streams' and files'
  std::uint64_t nodes = 0, node_bytes = 0;
};

class FrameQueue {
 public:
  // From the session's receiving thread.
  void answered(OfferBatch batch, const target::WantBitmap& wanted);
  void fail(std::exception_ptr error);
  void throw_if_failed();

  void offer_begins();
  // Waits until all offers are answered. False where the session broke: it then says why itself.
  bool wait_answered();
  // No more will come: fill() gives what is left, then false.
  void close();

  // Fills the builder with wanted chunks in stream order, up to about frame_bytes; waits for more while it is not full.
  // False where nothing is left to send (or something failed). One thread at a time fills; the others wait their turn.
  bool fill(FrameBuilder& builder, std::size_t frame_bytes);

  SentCounts sent();

 private:
  void count(const OfferedChunk& chunk);

  std::mutex filling_;  // whose turn it is; taken before mutex_
  OfferBatch batch_;    // being filled from
  std::size_t at_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<OfferBatch> batches_;  // only wanted chunks
  std::size_t unanswered_ = 0;
  bool broken_ = false;
  bool closed_ = false;
  std::exception_ptr error_;
  SentCounts sent_;
};

}  // namespace vmferry::backup
