// $LogFile: was the volume closed cleanly, and which clusters may a replay of the log give to a file? Conservative:
// what is not understood is not readable, and the caller keeps all free clusters then.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/crack/ntfs/cluster_bitmap.h"
#include "protocol/bytes.h"

namespace vmferry::crack {

struct LogFindings {
  bool cleanly_closed = true;
  bool readable = true;
  std::string why;                   // where it is not readable
  std::vector<ClusterRange> named;   // sorted, disjoint: clusters that records of the log name
};

struct LogGeometry {
  std::uint32_t cluster_bytes = 0;
  std::uint32_t mft_record_bytes = 0;
  std::uint64_t clusters = 0;
};

inline constexpr std::uint64_t log_bytes_max = std::uint64_t{128} << 20;  // larger ones are not readable

// Only the restart pages: the first pages of $LogFile, at least restart_bytes (less where the log is smaller).
inline constexpr std::size_t log_restart_bytes = 128 * 1024;
bool log_cleanly_closed(ByteView first_pages);

// The whole of $LogFile; its fixups are put back in place.
LogFindings examine_log(std::span<std::byte> log, const LogGeometry& geometry);

}  // namespace vmferry::crack
