// Readahead: brings what will be read of a disk before it is read. Ranges are planned in the order of their use; a thread of
// its own looks them up in the image map and asks for their chunks, as far ahead of the reader as the window allows, so
// that neither a round trip nor the target's disk is waited for while there is something to do with what came. Nodes and
// chunks go to the two caches, which must hold more than the window. It only ever brings: what it could not bring (damage)
// the reader asks for by itself, and gets its own error. All calls from the reader's thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "engine/restore/chunk_cache.h"
#include "protocol/byte_range.h"
#include "protocol/session/target_session.h"
#include "protocol/tree.h"

namespace vmferry::restore {

class Readahead {
 public:
  Readahead(const TreeRoot& image_map, target::TargetSession& session, CachingSource& nodes, CachingSource& chunks,
            std::size_t window_bytes);
  ~Readahead();

  // Adds to the plan. Returns its length so far, in bytes of ranges: a place in it.
  std::uint64_t plan(const std::vector<ByteRange>& ranges);
  // What was planned before this place will not be read any more.
  void forget_before(std::uint64_t place);
  bool is_planned(std::uint64_t offset) const { return place_of(offset).has_value(); }
  // The reader reads here: waits until what was planned up to there came, or could not be brought. At once where nothing
  // was planned.
  void await(std::uint64_t offset);

 private:
  struct State;  // shared with the session's receiving thread
  struct Piece;
  struct Planned {
    ByteRange range;
    std::uint64_t place;
  };
  // One call of plan().
  struct Part {
    std::uint64_t end = 0;  // place
    std::vector<Planned> by_offset;
  };

  std::optional<std::uint64_t> place_of(std::uint64_t offset) const;
  void work();
  void look_up(const std::vector<ByteRange>& ranges);
  void bring(const std::vector<ByteRange>& ranges, const std::shared_ptr<Piece>& piece);

  const TreeRoot image_map_;
  target::TargetSession& session_;
  CachingSource& nodes_;
  const std::uint64_t window_bytes_;
  std::deque<Part> parts_;       // the reader's
  std::uint64_t planned_ = 0;    // likewise
  std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace vmferry::restore
