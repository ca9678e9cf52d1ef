// DiskOutput: where a disk's content goes while it is restored, in any order: to a file, new or with what an interrupted
// restore left, or nowhere, where a finished disk is only compared. What an output has already counts only where its bytes
// have the hash of the chunk that belongs there. One thread.
#pragma once

#include <memory>

#include "engine/disk/disk.h"
#include "engine/disk/disk_writer.h"
#include "protocol/chunk_id.h"
#include "protocol/image_map.h"

namespace vmferry::restore {

class DiskOutput {
 public:
  explicit DiskOutput(const DomainKey& key) : key_(key) {}
  virtual ~DiskOutput() = default;

  // What is where a chunk, or a part of one, belongs. nothing: this place was never written. something: it may be right,
  // which cannot be told from this place alone (UnprovenRanges).
  enum class There { nothing, something, the_chunk };
  There look(const MapEntry& entry);
  bool is_chunk(ByteView content, const ChunkId& id) const { return chunk_id_of(key_, content) == id; }

  // What is there now; false where it cannot be had.
  virtual bool read(std::uint64_t offset, std::span<std::byte> into) = 0;
  // is_part: of a chunk that lies in several places. It is written with its zeros, so that it is not `nothing` any more.
  virtual void write(std::uint64_t offset, ByteView content, bool is_part) = 0;
  virtual void zeros(const ByteRange& range) = 0;

 protected:
  virtual bool is_unwritten(const ByteRange& range) = 0;

 private:
  const DomainKey key_;
  Bytes content_;
};

// The writer's content outlives it. disk_bytes: what the map covers; the writer's disk is that, rounded up to whole sectors.
std::unique_ptr<DiskOutput> write_to(disk::PlacedContent& content, std::uint64_t disk_bytes, const DomainKey& key);

// Thrown by the output that compares.
struct OtherContent {
  std::uint64_t offset = 0;
};
std::unique_ptr<DiskOutput> compare_with(const disk::Disk& disk, std::uint64_t disk_bytes, const DomainKey& key);

}  // namespace vmferry::restore
