#include "target-server/store/store_chunk_source.h"

#include <algorithm>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::store {
namespace {

constexpr std::size_t cache_bytes_max = 16 * limits::MiB;

}  // namespace

StoreChunkSource::StoreChunkSource(Store& store, const DomainKey& key)
    : store_(store), frames_(store, cache_bytes_max, key) {}

void StoreChunkSource::get(std::span<const ChunkId> ids, const Use& use) {
  std::vector<ChunkId> distinct(ids.begin(), ids.end());
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::vector<ChunkId> missing;
  const std::vector<Store::Located> located = store_.locate(distinct, missing);
  if (!missing.empty())
    throw Error(ErrorCode::damaged, "a chunk is missing in the store", missing.front().to_string(),
                missing.size() > 1 ? "and " + std::to_string(missing.size() - 1) + " more" : std::string());
  for (const Store::Located& place : located) {
    const auto frame = frames_.get(place.frame);
    for (const ChunkId& id : place.ids) {
      const auto content = frame->find(id);
      if (!content)
        throw Error(ErrorCode::damaged, "a chunk is not in the frame that the index names", id.to_string(),
                    "delete index.sqlite: it is rebuilt from the packs");
      use(id, *content);
    }
  }
}

}  // namespace vmferry::store
