// Chunker: FastCDC. It says where a stream is cut; the stream's bytes stay with the caller.
// A cut depends only on the bytes from the chunk's start, the parameters and the gear table, so equal bytes
// from a cut on are cut equally, wherever they lie. Immutable after construction, thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "protocol/bytes.h"

namespace vmferry {

// A domain's chunking parameters. average is a power of two; min <= average <= max <= limits::chunk_size_max.
struct ChunkingParameters {
  std::uint32_t size_min = 16 * 1024;
  std::uint32_t size_average = 64 * 1024;
  std::uint32_t size_max = 256 * 1024;
  std::uint64_t gear_seed = 0;

  bool operator==(const ChunkingParameters&) const = default;
  void validate() const;  // throws Error{malformed}
};

class Chunker {
 public:
  explicit Chunker(const ChunkingParameters& parameters);

  // The length of the chunk that begins at bytes[0]. `bytes` must hold size_max bytes, or all up to the
  // stream's end. Returns bytes.size() if no cut comes before it. 0 only for no bytes.
  std::size_t next_cut(ByteView bytes) const noexcept;

  const ChunkingParameters& parameters() const noexcept { return parameters_; }

 private:
  ChunkingParameters parameters_;
  std::array<std::uint64_t, 256> gear_;
  std::uint64_t mask_small_;  // before the average: harder to meet (normalised chunking, level 2)
  std::uint64_t mask_large_;  // after it: easier
};

// True where every byte is zero. Such chunks are never sent or stored.
bool all_zero(ByteView bytes) noexcept;

}  // namespace vmferry
