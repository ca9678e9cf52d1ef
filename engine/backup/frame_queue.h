// FrameQueue: offered batches on their way from the target's answer to the compressing threads, and deltas on theirs to the
// target's word that they could be rebuilt. Thread-safe. What waits here is slices, not copies; taking work makes the
// only copy of a chunk, and a delta's content is kept until its answer, for what the target then wants whole.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/backup/delta_run.h"
#include "engine/backup/traffic.h"
#include "protocol/session/target_session.h"
#include "protocol/frame.h"

namespace vmferry::backup {

// What a chunk is, beside its bytes.
struct ChunkFacts {
  bool is_node = false;          // a metadata tree's
  AccountNumber account = 0;     // meaningless for a node
  std::uint64_t position = 0;    // in its stream
  RunPointer run;                // null: nothing to build a delta on
};

struct OfferedChunk {
  ChunkId id;
  const std::byte* data = nullptr;
  std::uint32_t length = 0;
  bool wanted = false;
  bool offered = true;           // false: known, and here only to be signed
  ChunkFacts facts;
};

struct OfferBatch {
  std::vector<OfferedChunk> chunks;
  std::vector<std::shared_ptr<const void>> owners;  // of the chunks' bytes
  std::size_t bytes = 0;
};

// A frame's worth of wanted chunks: all nodes, or none.
struct FrameWork {
  std::vector<FrameChunk> chunks;
  std::vector<ChunkFacts> facts;  // beside chunks
  Bytes content;                  // of all chunks, one after another
  bool whole = false;             // the target could not rebuild these: no delta
  // Chunks that the target has: their signatures may be missing. The owners keep their bytes.
  std::vector<OfferedChunk> unwanted;
  std::vector<std::shared_ptr<const void>> owners;

  bool nodes() const noexcept { return !facts.empty() && facts.front().is_node; }
};

struct SentCounts {
  std::uint64_t chunks = 0, bytes = 0;      // streams' and files'
  std::uint64_t delta_chunks = 0, delta_bytes = 0;  // of these, those that went as deltas: content
  std::uint64_t delta_wire_bytes = 0;
  std::uint64_t node_wire_bytes = 0;        // metadata trees
  std::uint64_t whole_again = 0;            // chunks that the target could not rebuild
};

class FrameQueue {
 public:
  FrameQueue(std::size_t frame_bytes, std::size_t held_bytes_max)
      : frame_bytes_(frame_bytes), held_bytes_max_(held_bytes_max) {}

  // From the session's receiving thread. Keeps unwanted chunks of streams too where they are to be signed.
  void answered(OfferBatch batch, const target::WantBitmap& wanted, bool keep_unwanted);
  void fail(std::exception_ptr error);
  void throw_if_failed();

  void offer_begins();
  // Waits until all offers are answered. False where the session broke: it then says why itself.
  bool wait_answered();
  // No more will come: take() gives what is left, then nothing.
  void close();
  bool broken();

  // The next frame's worth, in stream order; waits for more while it is not full. Nothing: all is sent and answered, or
  // something failed. One thread at a time gathers; the others wait their turn.
  std::optional<FrameWork> take();

  // Before a delta is sent: waits until its content may be kept too.
  void delta_begins(const FrameWork& work);
  // From the receiving thread: what the target wants whole goes to the queue again; nullopt: the session broke.
  void delta_answered(const FrameWork& work, const std::optional<std::vector<ChunkId>>& whole);

  void count_sent(const FrameWork& work, bool as_delta, std::uint64_t wire_bytes);
  SentCounts sent();

 private:
  void break_off();
  bool gather(FrameWork& work, OfferedChunk& chunk) const;

  const std::size_t frame_bytes_, held_bytes_max_;

  std::mutex gathering_;  // whose turn it is; taken before mutex_
  OfferBatch batch_;      // being gathered from
  std::size_t at_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<OfferBatch> batches_;
  std::deque<FrameWork> again_;     // wanted whole
  std::size_t unanswered_ = 0;
  std::size_t deltas_unanswered_ = 0;
  std::size_t held_bytes_ = 0;      // content of unanswered deltas
  bool broken_ = false;
  bool closed_ = false;
  std::exception_ptr error_;
  SentCounts sent_;
};

}  // namespace vmferry::backup
