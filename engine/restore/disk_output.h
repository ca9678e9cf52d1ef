// DiskOutput: where a disk's content goes while it is restored, in ascending order of offset: to a writer, new or going on
// with what an interrupted restore left, or nowhere, where a finished disk is only compared. What an output has already
// counts only where its bytes have the hash of the chunk that belongs there. One thread.
#pragma once

#include <memory>

#include "engine/disk/disk.h"
#include "engine/disk/disk_writer.h"
#include "engine/restore/sector_writer.h"
#include "protocol/chunk_id.h"
#include "protocol/image_map.h"

namespace vmferry::restore {

class DiskOutput {
 public:
  explicit DiskOutput(const DomainKey& key) : key_(key) {}
  virtual ~DiskOutput() = default;

  // Whether the output has this chunk in this place. Only of chunks that lie there whole; false does not mean wrong.
  bool has(const MapEntry& entry);

  // Each range once: written, kept as it is because has() was true, or zeros.
  virtual void write(std::uint64_t offset, ByteView content) = 0;
  virtual void keep(const ByteRange& range) = 0;
  virtual void zeros(const ByteRange& range) = 0;
  virtual void flush() = 0;  // at the end

 protected:
  // What is there now; false where it cannot be had.
  virtual bool read(std::uint64_t offset, std::span<std::byte> into) = 0;
  virtual bool has_nothing(const ByteRange& range) = 0;

 private:
  const DomainKey key_;
  Bytes content_;
};

// The writer outlives it. disk_bytes: what the map covers; the writer's disk is that, rounded up to whole sectors.
std::unique_ptr<DiskOutput> write_to(disk::DiskWriter& writer, std::uint64_t disk_bytes, const DomainKey& key);

// Thrown by the output that compares.
struct OtherContent {
  std::uint64_t offset = 0;
};
std::unique_ptr<DiskOutput> compare_with(const disk::Disk& disk, std::uint64_t disk_bytes, const DomainKey& key);

}  // namespace vmferry::restore
