// UnprovenRanges: places of an output where a part of a chunk may lie already. A part alone proves nothing: a chunk of a
// fragmented file lies in several places, anywhere on the disk, and only all of its bytes have its hash. So they are
// gathered, sorted by chunk on disk, and settled together. One thread. Memory: memory_bytes and one chunk.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "engine/restore/disk_output.h"
#include "protocol/external_sort.h"

namespace vmferry::restore {

class UnprovenRanges {
 public:
  UnprovenRanges(const std::filesystem::path& spool_directory, std::size_t memory_bytes)
      : by_chunk_(spool_directory, memory_bytes) {}

  void add(const MapEntry& entry) { by_chunk_.add(entry); }
  // Each of them once, as the output is now: the right ones and the others. No add() after this.
  using Use = std::function<void(const MapEntry&)>;
  void settle(DiskOutput& output, const Use& right, const Use& wrong);

 private:
  bool assemble(DiskOutput& output, const std::vector<MapEntry>& parts);
  bool is_right(DiskOutput& output, const MapEntry& part);

  struct ByChunk {
    bool operator()(const MapEntry& a, const MapEntry& b) const noexcept {
      if (a.chunk != b.chunk) return a.chunk < b.chunk;
      if (a.chunk_offset != b.chunk_offset) return a.chunk_offset < b.chunk_offset;
      return a.disk.offset < b.disk.offset;
    }
  };
  ExternalSorter<MapEntry, ByChunk> by_chunk_;
  Bytes content_;  // of the chunk that is settled
  Bytes there_;
};

}  // namespace vmferry::restore
