// The former cuts of a stream, from a base point's image map and file index. One thread.
//   FormerFileCuts: of a file's stream: the former stream's runs, looked up in the former image map.
//   FormerPlaceCuts: of any other stream: what the former image map has at the same disk ranges.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "engine/backup/former_map.h"
#include "engine/backup/stream_cutter.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::backup {

// The base point's trees cannot be read. The backup can be made without them.
class FormerUnreadable : public Error {
 public:
  using Error::Error;
};
// In a catch block: FormerUnreadable for what is wrong with the trees' content; anything else goes on as it is.
[[noreturn]] void throw_former_unreadable(const Error& error);

// Slices of a former image map along a list of disk ranges, joined to cuts.
class FormerSequence {
 public:
  enum class Others { skip, as_gaps };  // what is neither data nor zeros
  FormerSequence(FormerMap& map, Others others) : map_(map), others_(others) {}

  void append(const ByteRange& disk);
  // The cut that covers the position, which never goes back; null past the ranges. `open` is set where the ranges end
  // with it: it grows when the ranges do.
  const FormerCut* covering(std::uint64_t position);
  const FormerCut* current() const noexcept { return current_ ? &*current_ : nullptr; }

 private:
  void advance();
  void extend();
  void look_ahead();

  FormerMap& map_;
  Others others_;
  std::deque<ByteRange> ranges_;
  std::optional<MapEntry> ahead_;     // the slice after current_
  std::optional<FormerCut> current_;
};

class FormerFileCuts final : public FormerCuts {
 public:
  FormerFileCuts(FormerMap& map, const std::vector<ByteRange>& disk_ranges);
  const FormerCut* covering(std::uint64_t position) override;

 private:
  FormerSequence sequence_;
  FormerCut cut_;
};

class FormerPlaceCuts final : public FormerCuts {
 public:
  explicit FormerPlaceCuts(FormerMap& map) : sequence_(map, FormerSequence::Others::as_gaps) {}
  // The stream's pieces, as they become known: before covering() is asked for a position in them.
  void append(const ByteRange& disk) { sequence_.append(disk); }
  const FormerCut* covering(std::uint64_t position) override { return sequence_.covering(position); }

 private:
  FormerSequence sequence_;
};

}  // namespace vmferry::backup
