// RestoreTally: what one disk's restore has done so far: bytes, progress told to who waits, ranges that cannot be had. One
// thread.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "engine/restore/restore_disk.h"
#include "protocol/error.h"
#include "protocol/image_map.h"

namespace vmferry::restore {

class RestoreTally {
 public:
  RestoreTally(const PointDisk& disk, bool keep_going, RestoreEvents& events, const std::atomic<bool>& cancel,
               DiskProgress& progress)
      : disk_(disk), keep_going_(keep_going), events_(events), cancel_(cancel), progress_(progress) {}

  // Call it often. Throws Error{cancelled} where the restore is to stop.
  void tick();
  void written(std::uint64_t bytes) { written_bytes_ += bytes, progress_.done_bytes += bytes; }
  void kept(std::uint64_t bytes) { kept_bytes_ += bytes, progress_.done_bytes += bytes; }
  // A range that cannot be had: throws, unless the restore is to keep going.
  void damaged(const ByteRange& range, const Error& why);

  std::uint64_t written_bytes() const noexcept { return written_bytes_; }
  std::uint64_t kept_bytes() const noexcept { return kept_bytes_; }
  // By offset; past a bound some of them say too much, never too little.
  std::vector<ByteRange> damaged_ranges() const;
  const std::string& damage() const noexcept { return damage_; }  // the first one's reason

 private:
  const PointDisk& disk_;
  const bool keep_going_;
  RestoreEvents& events_;
  const std::atomic<bool>& cancel_;
  DiskProgress& progress_;
  std::chrono::steady_clock::time_point told_ = std::chrono::steady_clock::now();
  std::uint64_t written_bytes_ = 0, kept_bytes_ = 0;
  std::vector<ByteRange> damaged_;
  std::string damage_;
};

}  // namespace vmferry::restore
