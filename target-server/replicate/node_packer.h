// NodePacker: tree nodes that are wanted, several to a frame: as deltas against the nodes that the base has in their
// places, where the other store takes them, else compressed as they are. One thread. Memory: a frame's content, and as
// much of base nodes.
#pragma once

#include <optional>
#include <vector>

#include "protocol/chunk_source.h"
#include "protocol/delta/delta_frame.h"
#include "protocol/frame.h"
#include "target-server/replicate/crossing.h"

namespace vmferry::target_server {

class NodePacker {
 public:
  // bases: null for no deltas.
  NodePacker(int compression_level, ChunkSource* bases)
      : bases_(bases), frames_(compression_level), deltas_(compression_level) {}

  bool fits(std::size_t bytes) const;
  bool empty() const noexcept { return chunks_.empty(); }
  void add(const wire::ChunkWithBasis& node, ByteView content);
  Outgoing finish();  // and begins the next one

 private:
  Bytes as_delta();

  ChunkSource* bases_;
  FrameBuilder frames_;
  delta::DeltaFrameBuilder deltas_;
  std::vector<FrameChunk> chunks_;
  Bytes content_;
  std::vector<ChunkId> basis_;
};

}  // namespace vmferry::target_server
