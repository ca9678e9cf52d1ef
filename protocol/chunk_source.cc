#include "protocol/chunk_source.h"

#include "protocol/error.h"

namespace vmferry {

Bytes get_chunk(ChunkSource& source, const ChunkId& id) {
  Bytes content;
  bool found = false;
  source.get(std::span(&id, 1), [&](const ChunkId&, ByteView got) {
    content.assign(got.begin(), got.end());
    found = true;
  });
  if (!found) throw Error(ErrorCode::damaged, "a chunk is missing", id.to_string());
  return content;
}

}  // namespace vmferry
