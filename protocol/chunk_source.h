// ChunkSource: where verified chunks come from: a store, a session with a target, a cache.
#pragma once

#include <functional>
#include <span>

#include "protocol/chunk_id.h"

namespace vmferry {

class ChunkSource {
 public:
  using Use = std::function<void(const ChunkId& id, ByteView content)>;

  virtual ~ChunkSource() = default;
  // Calls `use` once per distinct id, in any order, on the calling thread, with content that was checked
  // against the id. All ids of a call travel together: ask for many at once. Throws Error{damaged} where a
  // chunk is missing or broken (naming it), Error{unreachable} where its home is gone. `use` must not call
  // get() of the same source.
  virtual void get(std::span<const ChunkId> ids, const Use& use) = 0;
};

// One chunk's bytes.
Bytes get_chunk(ChunkSource& source, const ChunkId& id);

}  // namespace vmferry
