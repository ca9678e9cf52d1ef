#include "target-server/store/decoded_frames.h"

#include <algorithm>

#include "protocol/error.h"

namespace vmferry::store {
namespace {

constexpr std::size_t entry_overhead_bytes = 512;  // its slot, its place in the list and in the map

}  // namespace

DecodedFrame::DecodedFrame(const FrameView& frame, FrameDecoder& decoder)
    : content_bytes_(frame.content_bytes), content_(std::make_unique_for_overwrite<std::byte[]>(content_bytes_)) {
  decoder.decode_into(frame, {content_.get(), content_bytes_});
  slices_.reserve(frame.chunks.size());
  std::size_t offset = 0;
  for (const FrameChunk& chunk : frame.chunks) {
    slices_.push_back({chunk.id, offset, chunk.length});
    offset += chunk.length;
  }
  std::ranges::sort(slices_, {}, &Slice::id);
}

std::optional<ByteView> DecodedFrame::find(const ChunkId& id) const {
  const auto found = std::ranges::lower_bound(slices_, id, {}, &Slice::id);
  if (found == slices_.end() || found->id != id) return std::nullopt;
  return content().subspan(found->offset, found->length);
}

std::size_t DecodedFrame::cost_bytes() const noexcept {
  return content_bytes_ + entry_overhead_bytes + slices_.size() * sizeof(Slice);
}

DecodedFrames::DecodedFrames(Store& store, std::size_t cost_bytes_max, std::optional<DomainKey> key)
    : store_(store), cost_bytes_max_(cost_bytes_max), key_(key) {}
DecodedFrames::~DecodedFrames() = default;

std::shared_ptr<const DecodedFrame> DecodedFrames::get(const FrameLocation& location) {
  const std::shared_ptr<Slot> slot = slot_of(location);
  const std::lock_guard decoding(slot->decoding);
  if (!slot->frame) {
    try {
      slot->frame = decode(location);
    } catch (...) {
      forget(location, slot);
      throw;
    }
    keep(location, slot, slot->frame->cost_bytes());
  }
  return slot->frame;
}

std::shared_ptr<DecodedFrames::Slot> DecodedFrames::slot_of(const FrameLocation& location) {
  const std::lock_guard lock(mutex_);
  if (const auto known = by_location_.find(location); known != by_location_.end()) {
    entries_.splice(entries_.begin(), entries_, known->second);
  } else {
    entries_.push_front({location, std::make_shared<Slot>(), 0});
    by_location_[location] = entries_.begin();
  }
  return entries_.front().slot;
}

std::shared_ptr<const DecodedFrame> DecodedFrames::decode(const FrameLocation& location) {
  const Bytes stored = store_.read_frame(location);
  const FrameView frame = parse_frame(stored);
  std::unique_ptr<FrameDecoder> decoder = take_decoder();
  auto decoded = std::make_shared<const DecodedFrame>(frame, *decoder);
  if (key_) {
    ByteView rest = decoded->content();
    for (const FrameChunk& chunk : frame.chunks) {
      if (chunk_id_of(*key_, rest.first(chunk.length)) != chunk.id)
        throw Error(ErrorCode::damaged, "a chunk is not what its id says", chunk.id.to_string());
      rest = rest.subspan(chunk.length);
    }
  }
  const std::lock_guard lock(mutex_);
  idle_decoders_.push_back(std::move(decoder));
  return decoded;
}

std::unique_ptr<FrameDecoder> DecodedFrames::take_decoder() {
  const std::lock_guard lock(mutex_);
  if (idle_decoders_.empty()) return std::make_unique<FrameDecoder>();
  auto decoder = std::move(idle_decoders_.back());
  idle_decoders_.pop_back();
  return decoder;
}

void DecodedFrames::keep(const FrameLocation& location, const std::shared_ptr<Slot>& slot, std::size_t cost_bytes) {
  const std::lock_guard lock(mutex_);
  const auto known = by_location_.find(location);
  if (known == by_location_.end() || known->second->slot != slot) return;  // pushed out meanwhile
  known->second->cost_bytes = cost_bytes;
  cost_bytes_ += cost_bytes;
  while (cost_bytes_ > cost_bytes_max_ && entries_.size() > 1) erase(std::prev(entries_.end()));
}

void DecodedFrames::forget(const FrameLocation& location, const std::shared_ptr<Slot>& slot) {
  const std::lock_guard lock(mutex_);
  const auto known = by_location_.find(location);
  if (known != by_location_.end() && known->second->slot == slot) erase(known->second);
}

void DecodedFrames::erase(Entries::iterator entry) {
  cost_bytes_ -= entry->cost_bytes;
  by_location_.erase(entry->location);
  entries_.erase(entry);
}

}  // namespace vmferry::store
