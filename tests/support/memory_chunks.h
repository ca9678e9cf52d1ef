// MemoryChunks: a ChunkSource in memory that counts what is asked of it, and takes tree nodes.
#pragma once

#include <cstddef>
#include <unordered_map>

#include "protocol/chunk_source.h"
#include "protocol/error.h"
#include "protocol/tree.h"

namespace vmferry::test {

class MemoryChunks : public ChunkSource {
 public:
  std::unordered_map<ChunkId, Bytes> chunks;
  std::size_t calls = 0;
  std::size_t fetched = 0;

  TreeBuilder::EmitNode emit() {
    return [this](const ChunkId& id, ByteView node) { chunks[id].assign(node.begin(), node.end()); };
  }

  void get(std::span<const ChunkId> ids, const Use& use) override {
    ++calls;
    for (const ChunkId& id : ids) {
      const auto found = chunks.find(id);
      if (found == chunks.end()) throw Error(ErrorCode::damaged, "a chunk is missing", id.to_string());
      ++fetched;
      use(id, found->second);
    }
  }
};

}  // namespace vmferry::test
