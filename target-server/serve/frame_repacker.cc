#include "target-server/serve/frame_repacker.h"

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::target_server {

void FrameRepacker::add(const FrameView& frame, std::span<const std::size_t> wanted) {
  const ByteView content = decoder_.decode(frame);
  std::size_t at = 0, next = 0;
  for (std::size_t i = 0; i < frame.chunks.size() && next < wanted.size(); ++i) {
    const FrameChunk& chunk = frame.chunks[i];
    const ByteView one = content.subspan(at, chunk.length);
    at += chunk.length;
    if (wanted[next] != i) continue;
    ++next;
    if (key_ && chunk_id_of(*key_, one) != chunk.id)
      throw Error(ErrorCode::damaged, "a chunk of the store is not what its id says", chunk.id.to_string());
    if (!builder_.empty() && (builder_.content_bytes() + one.size() > frame_content_bytes ||
                              builder_.chunk_count() == limits::frame_chunks_max))
      finish();
    builder_.add(chunk.id, one);
  }
}

void FrameRepacker::finish() {
  if (!builder_.empty()) emit_(builder_.finish());
}

}  // namespace vmferry::target_server
