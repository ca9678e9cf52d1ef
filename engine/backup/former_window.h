// FormerWindow: the former version of one stream, seen through a window around where the backup stands: the cuts that
// were passed lately and, once something has changed, some that are still to come. So a chunk that moved within its
// stream is found again, and the chunks that a changed stretch replaced are at hand. Bounded. One thread.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <unordered_map>

#include "engine/backup/stream_cutter.h"

namespace vmferry::backup {

class FormerWindow final : public FormerCuts {
 public:
  // A new stream; former may be null. complete: all of its cuts are known already, so the window may look ahead.
  void begin(FormerCuts* former, bool complete);

  const FormerCut* covering(std::uint64_t position) override;

  // Where the former stream has this chunk, preferably at `expected`. Nothing for one that is further away than the window
  // reaches.
  std::optional<std::uint64_t> find(const ChunkId& id, std::int64_t expected);
  // The former cuts with content that overlap [begin, end), as far as the window reaches, in order.
  void overlapping(std::uint64_t begin, std::uint64_t end, const std::function<void(const FormerCut&)>& use);

 private:
  void remember(const FormerCut& cut);
  void look_ahead(std::uint64_t until);
  std::size_t index_of(std::uint64_t position) const;  // of the last cut that begins at or before it; cuts_.size(): none

  FormerCuts* former_ = nullptr;
  bool complete_ = false;
  bool at_end_ = false;      // the former stream has no more cuts
  std::deque<FormerCut> cuts_;  // one after another, without a gap
  std::size_t at_ = 0;       // where covering() stands in cuts_
  bool indexed_ = false;     // by_id_ holds what cuts_ holds
  std::unordered_map<ChunkId, std::uint64_t> by_id_;
};

}  // namespace vmferry::backup
