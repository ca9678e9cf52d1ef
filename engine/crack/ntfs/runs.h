// Runs: where a stream lies. Mapping pairs decoded and checked, and a reader over runs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/crack/volume_reader.h"
#include "protocol/bytes.h"
#include "protocol/file_index.h"

namespace vmferry::crack {

// Appends the runs of mapping pairs that must cover exactly `vcns` clusters; neighbours are joined. Throws
// Error{malformed} on a run outside the volume, an endless one, or too many.
void append_mapping_pairs(ByteView mapping_pairs, std::uint64_t vcns, std::uint64_t volume_clusters,
                          std::vector<StreamRun>& runs);

std::uint64_t clusters_of(const std::vector<StreamRun>& runs);

// RunReader: a stream's bytes through its runs; holes and what is not initialized read as zeros. One thread.
class RunReader {
 public:
  RunReader() = default;
  RunReader(VolumeReader& volume, std::uint32_t cluster_bytes, const StreamEntry& stream);

  std::uint64_t size_bytes() const { return data_bytes_; }
  std::uint64_t initialized_bytes() const { return initialized_bytes_; }
  bool has_holes() const { return has_holes_; }
  // Throws Error{malformed} past the end.
  void read(std::uint64_t offset, std::span<std::byte> into);
  // Asks for the contiguous piece at `offset`, at most `length` bytes of it.
  void prefetch(std::uint64_t offset, std::uint64_t length);
  // Asks for runs from here on at most, of a list that grew (the reader of $MFT learns its own runs from itself).
  void extend(const std::vector<StreamRun>& runs);

  struct Piece {
    std::uint64_t volume_offset = 0;  // ~0: a hole
    std::uint64_t length = 0;
  };
  // The piece of the volume that holds `offset`, clipped to begin there. Within the runs.
  Piece piece_at(std::uint64_t offset) const;

 private:
  struct Start {
    std::uint64_t offset = 0;         // in the stream
    std::uint64_t volume_offset = 0;  // ~0: a hole
  };
  VolumeReader* volume_ = nullptr;
  std::uint32_t cluster_bytes_ = 0;
  std::uint64_t data_bytes_ = 0;
  std::uint64_t initialized_bytes_ = 0;
  std::uint64_t end_ = 0;
  bool has_holes_ = false;
  std::vector<Start> starts_;
};

inline constexpr std::uint64_t piece_hole = ~std::uint64_t{0};

}  // namespace vmferry::crack
