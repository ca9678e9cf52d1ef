// DeltaMaker: makes delta frames of a store's chunks against others that it has too, for a store that copies from it:
// both contents are at hand, so each delta is zstd's of the content with the basis as prefix. One thread. Memory: one
// content, one basis, and the store's cache of decoded frames.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "protocol/delta/delta_frame.h"
#include "protocol/delta_request.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

class DeltaMaker {
 public:
  explicit DeltaMaker(store::Store& store);

  // Calls `use` with delta frames for as many of the chunks as it can, in their order, until it returns false. Gives
  // back the others, which are to travel whole: they have no basis that can be read, or a delta is no smaller, or
  // they cannot be read themselves.
  std::vector<ChunkId> make(std::span<const wire::ChunkWithBasis> chunks, const std::function<bool(ByteView)>& use);

 private:
  using Contents = std::unordered_map<ChunkId, Bytes>;

  Contents read(const std::vector<ChunkId>& ids);
  Bytes delta_of(std::span<const wire::ChunkWithBasis> chunks, const Contents& contents);

  std::unique_ptr<ChunkSource> source_;
  delta::DeltaFrameBuilder builder_;
};

}  // namespace vmferry::target_server
