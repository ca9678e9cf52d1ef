#include "protocol/delta_request.h"

#include "protocol/wire.h"

namespace vmferry::wire {

Bytes encode_delta_request(std::uint64_t number, std::span<const ChunkWithBasis> chunks) {
  ByteWriter writer;
  writer.u64(number);
  for (const ChunkWithBasis& chunk : chunks) {
    writer.bytes(chunk.id.view());
    writer.u8(static_cast<std::uint8_t>(chunk.basis.size()));
    for (const ChunkId& id : chunk.basis) writer.bytes(id.view());
  }
  return std::move(writer).take();
}

DeltaRequest parse_delta_request(ByteView payload) {
  ByteReader in(payload, "a request for deltas");
  DeltaRequest request;
  request.number = in.u64();
  while (!in.at_end()) {
    if (request.chunks.size() == limits::frame_chunks_max) malformed("a request for deltas of too many chunks");
    ChunkWithBasis chunk;
    chunk.id = ChunkId::from_bytes(in.bytes(chunk_id_bytes));
    const std::size_t basis = in.u8();
    if (basis > delta_request_basis_max) malformed("a chunk with too many others for a basis");
    for (std::size_t i = 0; i < basis; ++i) chunk.basis.push_back(ChunkId::from_bytes(in.bytes(chunk_id_bytes)));
    request.chunks.push_back(std::move(chunk));
  }
  if (request.chunks.empty()) malformed("a request for deltas of no chunk");
  return request;
}

}  // namespace vmferry::wire
