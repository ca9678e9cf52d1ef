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
  ByteView rest = patcher_.rebuild(view, {basis_.get(), view.basis_bytes});
  for (const FrameChunk& chunk : view.chunks) {
    const ByteView content = rest.first(chunk.length);
    rest = rest.subspan(chunk.length);
    if (chunk_id_of(key_, content) == chunk.id)
      builder_.add(chunk.id, content);
    else
      rebuilt.whole.push_back(chunk.id);
  }
  rebuilt.chunks = builder_.chunk_count();
  if (!builder_.empty()) rebuilt.frame = builder_.finish();
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
