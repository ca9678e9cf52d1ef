// ChunkPipeline: chunks asked for well ahead of their use, in batches, so that neither a round trip nor the target's
// disk is waited for while there is something to write. The owner asks for each use of a chunk, in the order of use,
// and takes each in that order; a chunk that is used again while it is still here is not asked for again. Or it asks
// for each chunk once, and takes what comes, as it comes: then nothing has to be held for its turn, and much more is asked
// for at once, of which the target sends each frame once; the session's receiving thread waits where the owner is behind.
// One owner, one thread. Memory: about memory_bytes, at most three times that if every chunk is as large as may be.
#pragma once

#include <cstddef>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/restore/chunk_cache.h"
#include "protocol/error.h"
#include "protocol/session/target_session.h"

namespace vmferry::restore {

class ChunkPipeline {
 public:
  enum class Order { of_use, of_arrival };
  ChunkPipeline(target::TargetSession& session, std::size_t memory_bytes, Order order);
  ~ChunkPipeline();
  ChunkPipeline(const ChunkPipeline&) = delete;
  ChunkPipeline& operator=(const ChunkPipeline&) = delete;

  // Whether more should be asked for now. Asking where there is no room is right, but takes memory.
  bool has_room() const;
  // bytes_expected: how much of the chunk is known to be there (a slice's end).
  void ask(const ChunkId& id, std::uint64_t bytes_expected);
  // One use of what was asked for. Waits for it. Throws Error{damaged} where the store does not have it right; the use
  // counts as taken then.
  SharedBytes take(const ChunkId& id);

  // Whether anything is on its way, or here and not taken. What was asked for last may not have left yet.
  bool is_waiting() const;

  // --- Order::of_arrival; each chunk was asked for once, and not found() before
  struct Arrival {
    ChunkId id;
    SharedBytes content;
    std::optional<Error> damage;  // instead of content
  };
  // Waits. Something was asked for, and not taken. Throws Error{unreachable} and its like only when nothing of what
  // arrived is left.
  Arrival take_any();
  std::optional<Arrival> take_arrived();  // does not wait
  // What was taken a short while ago; null where it is not here any more.
  SharedBytes find(const ChunkId& id) { return used_.find(id); }
  // Whatever still comes is dropped; what arrived already can be taken.
  void stop() noexcept;

 private:
  struct Arrivals;  // shared with the session's receiving thread
  static constexpr std::size_t not_sent = std::numeric_limits<std::size_t>::max();
  struct Wanted {
    std::size_t uses = 0;
    std::size_t batch = not_sent;  // which fetch brings it
    SharedBytes content;         // once it was taken from the arrivals
  };

  void send_pending();
  void send(std::vector<ChunkId> ids, std::size_t bytes);
  SharedBytes wait_for(const ChunkId& id, std::size_t batch);
  bool wait_for_any();
  void gather_failed();
  void send_again();
  Arrival taken(const ChunkId& id, SharedBytes content);

  target::TargetSession& session_;
  const Order order_;
  const std::size_t window_bytes_;  // of_use: of all that was asked for and not taken for the last time
  const std::size_t batch_bytes_;
  std::shared_ptr<Arrivals> arrivals_;
  std::unordered_map<ChunkId, Wanted> wanted_;
  std::vector<ChunkId> pending_;  // of the next batch
  std::size_t pending_bytes_ = 0;
  std::size_t next_batch_ = 0;
  std::size_t held_bytes_ = 0;    // of contents in wanted_
  std::vector<std::vector<ChunkId>> again_;  // to be asked for: their batch failed, perhaps for another chunk
  std::vector<std::pair<ChunkId, std::exception_ptr>> failed_;  // asked for alone, and cannot be had
  ChunkCache used_;               // taken for the last time, as far as was known
};

}  // namespace vmferry::restore
