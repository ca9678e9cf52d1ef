// SectorWriter: gathers slices of chunks, which are cut anywhere, to the whole sectors that a DiskWriter takes.
// Ascending offsets; what is not written reads as zeros. One thread.
#pragma once

#include <cstdint>

#include "engine/disk/disk_writer.h"
#include "protocol/bytes.h"

namespace vmferry::restore {

inline constexpr std::uint64_t sector_bytes = 512;
inline constexpr std::uint64_t block_bytes = 4096;  // what file systems allocate by

class SectorWriter {
 public:
  // size_bytes: the disk's, a multiple of 512.
  SectorWriter(disk::DiskWriter& writer, std::uint64_t size_bytes);

  void write(std::uint64_t offset, ByteView data);
  void flush();  // call it at the end

 private:
  void write_out();  // all that is gathered, which must be whole sectors

  disk::DiskWriter& writer_;
  const std::uint64_t size_bytes_;
  std::uint64_t begin_ = 0;  // of what is gathered; a multiple of 512
  Bytes gathered_;
};

}  // namespace vmferry::restore
