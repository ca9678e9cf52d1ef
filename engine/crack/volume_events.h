// What the cracker says of one volume, as events in this order:
//   volume, then any mix of stream / file / kept, then allocated (ascending), then done.
// The child makes them from the guest's bytes; the parent has checked every one (ranges within the volume,
// runs within limits, names within limits) before a VolumeSink sees it. Units are clusters where it says so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/byte_range.h"
#include "protocol/file_index.h"

namespace vmferry::crack {

struct VolumeFacts {
  std::string label;               // UTF-8
  std::uint64_t serial = 0;
  std::uint32_t cluster_bytes = 0;  // 512 .. 2 MiB
  std::uint32_t mft_record_bytes = 0;
  std::uint64_t clusters = 0;       // cluster 0 begins at the volume's first byte
  std::uint8_t major_version = 0, minor_version = 0;
  bool dirty = false;               // the volume's flag
  bool cleanly_closed = true;       // $LogFile says so; false: replay may come
  bool log_readable = true;         // false: all free clusters are kept
  bool hibernated = false;          // hiberfil.sys says that Windows sleeps (fast startup too)
  bool shadow_copies = false;       // persistent snapshots live in free clusters: all are kept
  bool mft_mirror_differs = false;
};

// A stream of a file and where it lies. Records of $MFT come in ascending order; of one record all streams
// follow each other. Resident streams come too (no runs).
struct StreamEvent {
  MftReference record = 0;
  StreamEntry stream;
  // Root-level system files whose content is left out by default: 0 none, 1 pagefile (pagefile.sys, swapfile.sys),
  // 2 hiberfil.sys. Only for the unnamed $DATA of a hidden system file in the root.
  std::uint8_t excludable = 0;
};

// Counts over the volume, and what went wrong with single files (the volume itself was cracked).
struct VolumeTotals {
  std::uint64_t files = 0;
  std::uint64_t directories = 0;
  std::uint64_t unreadable_records = 0;  // MFT records that could not be read: their clusters have no owner
  std::uint64_t overlapping_clusters = 0;
  std::vector<std::string> problems;     // at most 100 sentences
};

class VolumeSink {
 public:
  virtual ~VolumeSink() = default;
  virtual void volume(const VolumeFacts& facts) = 0;
  virtual void stream(const StreamEvent& event) = 0;
  virtual void file(const NameEntry& name) = 0;
  virtual void kept(std::uint64_t lcn, std::uint64_t clusters) = 0;       // the log names it: free, or excluded
  virtual void allocated(std::uint64_t lcn, std::uint64_t clusters) = 0;  // by $Bitmap; ascending, disjoint
  virtual void done(const VolumeTotals& totals) = 0;
};

}  // namespace vmferry::crack
