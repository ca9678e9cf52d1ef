#include "engine/backup/compression_governor.h"

#include <algorithm>
#include <array>

namespace vmferry::backup {
namespace {

constexpr std::uint64_t window_us = 400'000;  // of each thread's time
constexpr std::uint64_t frames_per_thread_min = 2;
constexpr double blocked_share_of_full_line = 0.10;
constexpr double blocked_share_of_idle_line = 0.03;
constexpr double starved_share_max = 0.20;
constexpr double rise_headroom = 0.90;
constexpr double fall_headroom = 0.95;
constexpr int rise_levels_max = 2;  // in one window
constexpr int fall_levels_max = 6;
constexpr int refill_windows_max = 3;  // the outgoing queue fills up again, about 1 s
constexpr double line_growth = 2;
constexpr double line_change = 1.3;
constexpr int believe_first = 16, believe_most = 256;

// zstd 1.5.4: thread time per level, frames of 512 KiB of programs, headers and archives; only the steps between them
// count.
constexpr std::array<double, CompressionChoice::level_max + 1> cost = {
    0,    2.6,  3.2,  4.4,  5.1,  7.6,  10.6, 12.2, 14.7,  15.0,
    17.3, 23.6, 24.0, 51.3, 62.9, 72.3, 147,  171,  207.0, 329};

}  // namespace

CompressionGovernor::CompressionGovernor(const CompressionChoice& choice, unsigned threads)
    : automatic_(choice.automatic),
      threads_(std::max(1u, threads)),
      level_(std::clamp(choice.level, CompressionChoice::level_min, CompressionChoice::level_max)),
      believe_next_(believe_first) {}

int CompressionGovernor::level() const {
  const std::lock_guard lock(mutex_);
  return level_;
}

void CompressionGovernor::sent(const FrameTiming& frame) {
  if (!automatic_) return;
  const std::lock_guard lock(mutex_);
  if (frame.level != level_) return;  // begun before the last decision: it says nothing about this one
  ++window_.frames;
  window_.bytes_out += frame.bytes_out;
  window_.compress_us += frame.compress_us;
  window_.blocked_us += frame.blocked_us;
  window_.starved_us += frame.starved_us;
  if (window_.frames < frames_per_thread_min * threads_ || window_.all_us() < window_us * threads_) return;
  decide();
  window_ = {};
}

// A line that is full blocks the threads; what they are blocked can go into stronger compression. One that is not is
// waiting for them, unless they wait for the disk themselves.
void CompressionGovernor::decide() {
  const auto all = static_cast<double>(window_.all_us());
  const double blocked = static_cast<double>(window_.blocked_us) / all;
  const double out_bytes_per_us = static_cast<double>(window_.bytes_out) / (all / threads_);
  believed_windows_ = std::max(0, believed_windows_ - 1);
  if (blocked > blocked_share_of_full_line) {
    windows_without_block_ = 0;
    fell_ = false;
    line_measured(out_bytes_per_us);
    rise_into(static_cast<double>(window_.compress_us + window_.blocked_us) * rise_headroom);
    return;
  }
  if (blocked > blocked_share_of_idle_line || static_cast<double>(window_.starved_us) / all > starved_share_max) return;
  ++windows_without_block_;
  // As much as the line took when it was full: it still takes it, and the queue before it fills up again.
  if (out_bytes_per_us >= line_bytes_per_us_ && line_bytes_per_us_ > 0 && windows_without_block_ <= refill_windows_max)
    return;
  double budget_us = 0;
  if (line_bytes_per_us_ > 0) {
    if (out_bytes_per_us > line_bytes_per_us_ || windows_without_block_ > 1) line_bytes_per_us_ *= line_growth;
    budget_us = static_cast<double>(window_.bytes_out) / line_bytes_per_us_ * threads_ * fall_headroom;
  }
  fall_into(budget_us);
}

void CompressionGovernor::line_measured(double bytes_per_us) {
  const bool is_another =
      bytes_per_us > line_bytes_per_us_ * line_change || bytes_per_us * line_change < line_bytes_per_us_;
  if (is_another) {
    believed_windows_ = 0;
    believe_next_ = believe_first;
  }
  line_bytes_per_us_ = bytes_per_us;
}

int CompressionGovernor::strongest_within(double budget_us) const {
  const double unit = static_cast<double>(window_.compress_us) / cost[static_cast<std::size_t>(level_)];
  int level = CompressionChoice::level_max;
  while (level > CompressionChoice::level_min && cost[static_cast<std::size_t>(level)] * unit > budget_us) --level;
  return level;
}

void CompressionGovernor::rise_into(double budget_us) {
  int level = std::min(strongest_within(budget_us), level_ + rise_levels_max);
  if (believed_windows_ > 0) level = std::min(level, too_strong_ - 1);
  level_ = std::max(level_, level);
}

void CompressionGovernor::fall_into(double budget_us) {
  if (level_ == CompressionChoice::level_min) return;
  if (!fell_) {  // a second fall in a row says little: the queue may not have filled up yet
    too_strong_ = level_;
    believed_windows_ = believe_next_;
    believe_next_ = std::min(believe_most, believe_next_ * 2);
  }
  fell_ = true;
  const int level = std::max(strongest_within(budget_us), level_ - fall_levels_max);
  level_ = std::min(level_ - 1, level);
}

}  // namespace vmferry::backup
