// A tree as a hostile target could make it: every inner node names the same child again and again, so that it has
// few nodes and more paths than anybody can walk.
#pragma once

#include <cstdint>

#include "protocol/bytes.h"
#include "protocol/chunk_id.h"
#include "protocol/tree.h"
#include "tests/support/memory_chunks.h"

namespace vmferry::test {

inline TreeRoot tangled_tree(MemoryChunks& chunks, const DomainKey& key, std::uint8_t levels, std::uint64_t children) {
  const auto put = [&](ByteWriter& node) {
    const ChunkId id = chunk_id_of(key, node.view());
    chunks.chunks[id].assign(node.view().begin(), node.view().end());
    return id;
  };
  TreeRoot root;
  for (std::uint8_t level = 0; level < levels; ++level) {
    ByteWriter node;
    node.u8(1);  // version
    node.u8(level);
    node.varint(level == 0 ? 1 : children);
    for (std::uint64_t i = 0; i < (level == 0 ? 1 : children); ++i) {
      node.varint(i == 0 ? 0 : 7);  // of the key before, which differs in its last byte
      node.varint(i == 0 ? 8 : 1);
      if (i == 0)
        node.u64_big_endian(0);
      else
        node.u8(static_cast<std::uint8_t>(i));
      if (level == 0) {
        node.varint(1);
        node.u8(0);
      } else {
        node.bytes(root.node.view());
        node.varint(1);
      }
    }
    root.node = put(node);
  }
  root.levels = levels;
  root.entries = children;
  return root;
}

}  // namespace vmferry::test
