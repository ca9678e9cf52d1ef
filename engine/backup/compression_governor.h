// CompressionGovernor: which zstd level the next frame gets, so that a slow line gets the strongest compression that
// still keeps it full and a fast one is not slowed. A pure decision: it has no clock and no threads of its own and
// knows only what it is told after each frame. Thread-safe. docs/decisions/0006-compression-governor.md says how it
// decides, with measurements.
#pragma once

#include <cstdint>
#include <mutex>

#include "engine/backup/compression_choice.h"

namespace vmferry::backup {

// What one compressing thread saw of one frame.
struct FrameTiming {
  int level = 0;                  // that it was compressed with
  std::uint64_t bytes_in = 0, bytes_out = 0;
  std::uint64_t compress_us = 0;
  std::uint64_t blocked_us = 0;   // in sending it, because the outgoing queue was full
  std::uint64_t starved_us = 0;   // before it, because nothing was there to compress
};

class CompressionGovernor {
 public:
  // threads: how many compress at once.
  CompressionGovernor(const CompressionChoice& choice, unsigned threads);

  int level() const;
  void sent(const FrameTiming& frame);

 private:
  // Sums over the threads, of frames at the present level.
  struct Window {
    std::uint64_t frames = 0, bytes_out = 0, compress_us = 0, blocked_us = 0, starved_us = 0;
    std::uint64_t all_us() const { return compress_us + blocked_us + starved_us; }
  };
  void decide();
  void rise_into(double budget_us);
  void fall_into(double budget_us);
  int strongest_within(double budget_us) const;
  void line_measured(double bytes_per_us);

  const bool automatic_;
  const unsigned threads_;
  mutable std::mutex mutex_;
  int level_;
  Window window_;
  double line_bytes_per_us_ = 0;   // when it was last full; 0: never
  int windows_without_block_ = 0;
  bool fell_ = false;              // since the line was last full
  // The weakest level that was found too slow for the line, and for how many windows that is believed.
  int too_strong_ = CompressionChoice::level_max + 1;
  int believed_windows_ = 0, believe_next_;
};

}  // namespace vmferry::backup
