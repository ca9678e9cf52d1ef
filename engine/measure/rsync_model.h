// What rsync would send of a disk, seen as one long file: its algorithm (--inplace, --no-whole-file, no compression)
// over the former disk and the present one, with rsync's own block size. Computed here, so that it needs neither rsync
// nor a copy of a disk as a raw file. tests/unit/measure compares it with the program's --stats.
// Memory: about 50 bytes per block of the former disk (6 GiB: 4 MiB).
#pragma once

#include <cstdint>
#include <functional>

#include "engine/disk/disk.h"
#include "engine/measure/link.h"

namespace vmferry::measure {

struct RsyncBytes {
  std::uint64_t literal = 0;   // of the present disk, sent as they are
  std::uint64_t matched = 0;   // found in the former disk
  std::uint64_t blocks = 0;    // that were matched
  std::uint64_t pieces = 0;    // that the literals went in
  std::uint64_t sums = 0;      // of the former disk's blocks, sent the other way
};

// The former disk's blocks for a file of this length: its square root rounded down to a multiple of 8, 700 to 131072.
std::uint32_t rsync_block_bytes(std::uint64_t file_bytes) noexcept;
// Of the two sums of each block, together.
std::uint32_t rsync_sum_bytes(std::uint64_t file_bytes) noexcept;

// Past this a disk's blocks are too many to hold (2 TiB at the largest block).
inline constexpr std::uint64_t rsync_blocks_max = std::uint64_t{1} << 24;
bool rsync_is_computable(std::uint64_t former_bytes) noexcept;

// tick: called now and then with the bytes that were read of both disks so far; what it throws ends the computation.
using Tick = std::function<void(std::uint64_t read_bytes)>;
RsyncBytes rsync_between(const disk::Disk& former, const disk::Disk& present, const Tick& tick);
// Where the other side has nothing: the whole disk is literal.
RsyncBytes rsync_first(std::uint64_t disk_bytes) noexcept;

// Literals with the length before each piece, and 4 bytes for each block that was matched.
Traffic rsync_traffic(const RsyncBytes& bytes) noexcept;

}  // namespace vmferry::measure
