// DeltaRun: a stretch of a stream that changed, and the basis that its chunks' deltas may copy from: what the former
// version had between the same neighbours. RunBuilder makes them as the stream is cut.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/backup/former_window.h"
#include "protocol/chunk_id.h"

namespace vmferry::backup {

// Written until it is closed, then only read, by other threads too (the sender's queue lies between).
struct DeltaRun {
  struct Part {
    ChunkId id;
    // The position in today's stream where the chunk's first byte is expected; may be negative.
    std::int64_t expected_at = 0;
    std::shared_ptr<const Bytes> content;  // of a tree node, which is at hand; null for a chunk of a stream
  };
  std::vector<Part> basis;
};

using RunPointer = std::shared_ptr<const DeltaRun>;

// One thread.
class RunBuilder {
 public:
  // A new stream, whose former version is seen through `window` (cuts there or not). It must outlive the stream.
  void begin(FormerWindow* window);

  // Chunks in stream order; a chunk that the former version has, at its place or near it, is known and ends the run.
  struct Placed {
    bool known = false;
    RunPointer run;   // of one that is not known; null where there is nothing to build on
  };
  Placed place(const ChunkId& id, std::uint64_t position, std::uint32_t length);
  // The chunk at the position is the former version's at the same position.
  void same_place(std::uint64_t position);
  // Zeros: they belong to no run.
  void skip();
  // Completes the open run with what is known by now: before its chunks go on their way.
  void close();

 private:
  void close_before(std::uint64_t former_next, std::uint64_t position);
  void fill(std::uint64_t former_begin, std::uint64_t former_end, std::int64_t shift_after);

  FormerWindow* window_ = nullptr;
  std::int64_t shift_ = 0;  // former position - today's, as of the last chunk that both have
  std::shared_ptr<DeltaRun> run_;
  std::uint64_t run_begin_ = 0, run_end_ = 0;
};

}  // namespace vmferry::backup
