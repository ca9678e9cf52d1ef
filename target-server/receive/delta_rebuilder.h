// DeltaRebuilder: makes of a delta frame the chunks that it stands for, in a frame for the store. The basis chunks come
// from the store. They are not checked against their ids, only by their frames' checksums: what counts are the chunks
// that come out, and each of those is. One thread; several share the decoded frames. Memory: one basis and one content.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "protocol/delta/delta_frame.h"
#include "target-server/store/decoded_frames.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

struct Rebuilt {
  Bytes frame;                 // as the store takes it; empty where nothing could be rebuilt
  std::size_t chunks = 0;      // in it
  std::vector<ChunkId> whole;  // the others: the sender is to send them whole
};

class DeltaRebuilder {
 public:
  DeltaRebuilder(store::Store& store, store::DecodedFrames& frames, int compression_level);

  // Nothing is rebuilt where a basis chunk is missing, damaged, or shorter than the delta says, or where the basis lies
  // in too many frames (their number and their content are bounded: a few bytes of each would cost all of them); a chunk that is not
  // what its id says is wanted whole alone. Error{malformed} for a delta that no sender makes.
  Rebuilt rebuild(ByteView delta_frame);

 private:
  bool collect_basis(const delta::DeltaFrameView& view);

  store::Store& store_;
  store::DecodedFrames& frames_;
  const DomainKey key_;
  delta::DeltaPatcher patcher_;
  FrameBuilder builder_;
  std::unique_ptr<std::byte[]> basis_;  // not zeroed before it is written
  std::size_t basis_room_ = 0;
};

}  // namespace vmferry::target_server
