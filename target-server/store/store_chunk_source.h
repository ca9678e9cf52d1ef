// StoreChunkSource: verified chunks out of a store, with the frames that were decoded last kept (16 MiB of content):
// metadata nodes of one tree share their frames. One thread; the store must outlive it.
#pragma once

#include "protocol/chunk_source.h"
#include "target-server/store/decoded_frames.h"

namespace vmferry::store {

class StoreChunkSource final : public ChunkSource {
 public:
  StoreChunkSource(Store& store, const DomainKey& key);
  void get(std::span<const ChunkId> ids, const Use& use) override;

 private:
  Store& store_;
  DecodedFrames frames_;
};

}  // namespace vmferry::store
