// Frame: one or more chunks compressed together: what the wire carries and a pack stores, byte for byte the
// same, so that the target never compresses. docs/format/frame.md has the layout with worked hex:
//   header: magic "VFF1", codec u8, flags u8 (0), chunk count u16, content length u32, stored length u32
//   directory: per chunk its id (32 bytes) and its length u32
//   payload: `stored length` bytes
//   checksum: XXH3-64 of everything before it
// Frames are self-delimiting: a reader that has the 16 bytes of header knows how long the rest is.
// Two checks: the checksum (whoever moves or scrubs bytes; no key needed) and the ids (whoever uses content).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/chunk_id.h"

namespace vmferry {

enum class FrameCodec : std::uint8_t { plain = 0, zstd = 1 };

struct FrameChunk {
  ChunkId id;
  std::uint32_t length = 0;
};

inline constexpr std::size_t frame_header_bytes = 16;

// FrameBuilder: collects chunks, then compresses them into one frame. One thread; reuse it, it keeps its
// zstd context. Where zstd does not make it smaller, the frame is plain.
class FrameBuilder {
 public:
  explicit FrameBuilder(int compression_level);
  ~FrameBuilder();
  FrameBuilder(FrameBuilder&&) noexcept;

  void set_level(int compression_level);          // of the frames that finish() makes from now on
  void add(const ChunkId& id, ByteView content);  // copies; throws std::logic_error past limits::frame_*
  bool empty() const noexcept;
  std::size_t content_bytes() const noexcept;
  std::size_t chunk_count() const noexcept;
  Bytes finish();  // the whole frame; the builder is empty again
  // A frame of content that lies together already: nothing is copied first. Whatever was added stays.
  Bytes build(std::span<const FrameChunk> chunks, ByteView content);  // throws as add() does

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A frame's header and directory. Views into the caller's bytes.
struct FrameView {
  FrameCodec codec = FrameCodec::plain;
  std::vector<FrameChunk> chunks;
  std::uint32_t content_bytes = 0;
  ByteView payload;
  ByteView whole;  // header to checksum
};

// The length of the whole frame whose first frame_header_bytes bytes these are. Throws Error{malformed} for
// no frame or one past the limits. nullopt where fewer bytes than a header are given.
std::optional<std::size_t> frame_length(ByteView beginning);
// Parses and checks the checksum (Error{damaged} where only the checksum fails, else Error{malformed}).
// Checks that the directory's lengths add up. `bytes` must be exactly one frame.
FrameView parse_frame(ByteView bytes);

// FrameDecoder: decompresses into a buffer of its own, which lives until the next call. One thread.
class FrameDecoder {
 public:
  FrameDecoder();
  ~FrameDecoder();
  FrameDecoder(FrameDecoder&&) noexcept;

  // The content of all chunks, one after another. Throws Error{damaged} where the payload does not decode to
  // exactly content_bytes. Does not check ids.
  ByteView decode(const FrameView& frame);
  // The same into memory of the caller's, which is exactly content_bytes long.
  void decode_into(const FrameView& frame, std::span<std::byte> content);
  // Decodes, and calls `use` for each chunk whose id is checked against the key: Error{damaged} on a mismatch.
  void decode_verified(const FrameView& frame, const DomainKey& key,
                       const std::function<void(const ChunkId&, ByteView content)>& use);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmferry
