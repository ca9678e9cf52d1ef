#include "engine/restore/restore_tally.h"

#include <algorithm>

namespace vmferry::restore {
namespace {

constexpr std::size_t damaged_ranges_max = 1000;
constexpr std::chrono::milliseconds between_tellings{200};

std::vector<ByteRange> joined(std::vector<ByteRange> ranges) {
  std::ranges::sort(ranges, {}, &ByteRange::offset);
  std::vector<ByteRange> result;
  for (const ByteRange& range : ranges) {
    if (!result.empty() && result.back().end() == range.offset)
      result.back().length += range.length;
    else
      result.push_back(range);
  }
  return result;
}

}  // namespace

void RestoreTally::tick() {
  if (cancel_) throw Error(ErrorCode::cancelled, "the restore was stopped", disk_.key);
  const auto now = std::chrono::steady_clock::now();
  if (now - told_ < between_tellings) return;
  events_.progress(progress_.done_bytes, progress_.total_bytes);
  told_ = now;
}

void RestoreTally::damaged(const ByteRange& range, const Error& why) {
  if (!keep_going_) {
    throw Error(ErrorCode::damaged, "the disk cannot be restored whole",
                disk_.key + ", bytes " + std::to_string(range.offset) + " to " + std::to_string(range.end()),
                std::string(why.what()) + "; --keep-going restores the rest to a file named .partial");
  }
  if (damage_.empty()) damage_ = why.what();
  progress_.done_bytes += range.length;
  damaged_.push_back(range);
  if (damaged_.size() <= damaged_ranges_max) return;
  damaged_ = joined(std::move(damaged_));
  if (damaged_.size() <= damaged_ranges_max) return;
  const ByteRange last = damaged_.back();
  damaged_.pop_back();
  damaged_.back().length = last.end() - damaged_.back().offset;
}

std::vector<ByteRange> RestoreTally::damaged_ranges() const { return joined(damaged_); }

}  // namespace vmferry::restore
