// StoreChunkSource: verified chunks out of a store, with the frames that were decoded last kept (16 MiB of content):
// metadata nodes of one tree share their frames. One thread; the store must outlive it.
#pragma once

#include <list>
#include <map>

#include "protocol/chunk_source.h"
#include "target-server/store/store.h"

namespace vmferry::store {

class StoreChunkSource final : public ChunkSource {
 public:
  StoreChunkSource(Store& store, const DomainKey& key) : store_(store), key_(key) {}
  void get(std::span<const ChunkId> ids, const Use& use) override;

 private:
  struct Decoded {
    FrameLocation frame;
    Bytes content;
    struct Slice {
      std::size_t offset, length;
    };
    std::map<ChunkId, Slice> chunks;
  };
  using Frames = std::list<Decoded>;  // the last used first

  const Decoded& decoded(const FrameLocation& frame);

  Store& store_;
  const DomainKey key_;
  FrameDecoder decoder_;
  Frames frames_;
  std::map<FrameLocation, Frames::iterator> by_location_;
  std::size_t cached_bytes_ = 0;
};

}  // namespace vmferry::store
