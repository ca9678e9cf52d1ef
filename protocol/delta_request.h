// DeltaRequest: what the payload of a fetch deltas packet says: these chunks are wanted, and the asker has those in
// whose places they came, so that a delta between them will do. All integers little-endian:
//   request u64 | per chunk: its id | basis count u8 | ids of the basis
// The chunks in order: neighbours will share a delta.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/chunk_id.h"
#include "protocol/limits.h"

namespace vmferry::wire {

struct ChunkWithBasis {
  ChunkId id;
  std::vector<ChunkId> basis;  // at most delta_request_basis_max
  bool operator==(const ChunkWithBasis&) const = default;
};

struct DeltaRequest {
  std::uint64_t number = 0;
  std::vector<ChunkWithBasis> chunks;  // 1..limits::frame_chunks_max
};

inline constexpr std::size_t delta_request_basis_max = 8;  // of one chunk
inline constexpr std::size_t delta_request_bytes_max =
    8 + limits::frame_chunks_max * (32 + 1 + delta_request_basis_max * 32);

Bytes encode_delta_request(std::uint64_t number, std::span<const ChunkWithBasis> chunks);
DeltaRequest parse_delta_request(ByteView payload);  // throws Error{malformed}

}  // namespace vmferry::wire
