#include "target-server/receive/delta_rebuilder.h"

#include <algorithm>
#include <cstring>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::target_server {
namespace {

// Of the stored frames that one delta's basis lies in: together they bound what a small delta can make the target read.
constexpr std::size_t basis_frames_max = 256;
constexpr std::uint64_t basis_frames_content_max = 64 * limits::MiB;

}  // namespace

DeltaRebuilder::DeltaRebuilder(store::Store& store, store::DecodedFrames& frames, int compression_level)
    : store_(store), frames_(frames), key_(store.domain().key), builder_(compression_level) {}

Rebuilt DeltaRebuilder::rebuild(ByteView delta_frame) {
  const delta::DeltaFrameView view = delta::parse_delta_frame(delta_frame);
  Rebuilt rebuilt;
  if (!collect_basis(view)) {
    for (const FrameChunk& chunk : view.chunks) rebuilt.whole.push_back(chunk.id);
    return rebuilt;
  }
  const ByteView content = patcher_.rebuild(view, {basis_.get(), view.basis_bytes});
  std::vector<FrameChunk> right;
  Bytes right_content;  // filled only where a chunk is wrong: else it is all of the content
  std::size_t at = 0;
  for (const FrameChunk& chunk : view.chunks) {
    const ByteView one = content.subspan(at, chunk.length);
    if (chunk_id_of(key_, one) == chunk.id) {
      right.push_back(chunk);
      if (!rebuilt.whole.empty()) right_content.insert(right_content.end(), one.begin(), one.end());
    } else {
      if (rebuilt.whole.empty()) right_content.assign(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(at));
      rebuilt.whole.push_back(chunk.id);
    }
    at += chunk.length;
  }
  rebuilt.chunks = right.size();
  if (!right.empty()) rebuilt.frame = builder_.build(right, rebuilt.whole.empty() ? content : ByteView(right_content));
  return rebuilt;
}

// False where a part of it cannot be had.
bool DeltaRebuilder::collect_basis(const delta::DeltaFrameView& view) {
  struct Part {
    ChunkId id;
    std::size_t offset, length;  // in the basis
  };
  std::vector<Part> parts;  // by id: a chunk may be named more than once
  std::vector<ChunkId> ids;
  parts.reserve(view.basis.size());
  ids.reserve(view.basis.size());
  std::size_t basis_bytes = 0;
  for (const delta::DeltaBasis& part : view.basis) {
    parts.push_back({part.id, basis_bytes, part.length});
    ids.push_back(part.id);
    basis_bytes += part.length;
  }
  if (basis_room_ < basis_bytes) {
    basis_.reset();
    basis_ = std::make_unique_for_overwrite<std::byte[]>(basis_bytes);
    basis_room_ = basis_bytes;
  }
  std::ranges::sort(parts, {}, &Part::id);
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  try {
    std::vector<ChunkId> missing;
    const std::vector<store::Store::Located> located = store_.locate(ids, missing);
    if (!missing.empty() || located.size() > basis_frames_max) return false;
    std::uint64_t content_bytes = 0;
    for (const auto& [location, in_frame] : located) {
      const auto frame = frames_.get(location);
      content_bytes += frame->content_bytes();
      if (content_bytes > basis_frames_content_max) return false;
      for (const ChunkId& id : in_frame) {
        const std::optional<ByteView> content = frame->find(id);
        auto part = std::ranges::lower_bound(parts, id, {}, &Part::id);
        for (; part != parts.end() && part->id == id; ++part) {
          if (!content || content->size() < part->length) return false;
          std::memcpy(basis_.get() + part->offset, content->data(), part->length);
        }
      }
    }
  } catch (const Error& error) {  // what cannot be read cannot be built on
    if (error.code() == ErrorCode::damaged) store_.recheck(ids, false);
    return false;
  }
  return true;
}

}  // namespace vmferry::target_server
