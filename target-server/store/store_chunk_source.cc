#include "target-server/store/store_chunk_source.h"

#include <algorithm>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::store {
namespace {

constexpr std::size_t cache_bytes_max = 16 * limits::MiB;

}  // namespace

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
    const Decoded& frame = decoded(place.frame);
    for (const ChunkId& id : place.ids) {
      const auto found = frame.chunks.find(id);
      if (found == frame.chunks.end())
        throw Error(ErrorCode::damaged, "a chunk is not in the frame that the index names", id.to_string(),
                    "delete index.sqlite: it is rebuilt from the packs");
      use(id, ByteView(frame.content).subspan(found->second.offset, found->second.length));
    }
  }
}

const StoreChunkSource::Decoded& StoreChunkSource::decoded(const FrameLocation& frame) {
  if (const auto known = by_location_.find(frame); known != by_location_.end()) {
    frames_.splice(frames_.begin(), frames_, known->second);
    return frames_.front();
  }
  const Bytes stored = store_.read_frame(frame);
  const FrameView view = parse_frame(stored);
  Decoded decoded{frame, {}, {}};
  decoded.content.reserve(view.content_bytes);
  decoder_.decode_verified(view, key_, [&](const ChunkId& id, ByteView content) {
    decoded.chunks[id] = {decoded.content.size(), content.size()};
    decoded.content.insert(decoded.content.end(), content.begin(), content.end());
  });
  cached_bytes_ += decoded.content.size();
  frames_.push_front(std::move(decoded));
  by_location_[frame] = frames_.begin();
  while (cached_bytes_ > cache_bytes_max && frames_.size() > 1) {
    cached_bytes_ -= frames_.back().content.size();
    by_location_.erase(frames_.back().frame);
    frames_.pop_back();
  }
  return frames_.front();
}

}  // namespace vmferry::store
