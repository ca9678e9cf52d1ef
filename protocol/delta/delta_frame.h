// DeltaFrame: chunks on the wire as what they have in common with chunks that the target has, and the rest. It never
// reaches a store: the target rebuilds the chunks, checks each against its id, and stores them as a frame.
// docs/format/delta-frame.md has the layout with worked hex:
//   header: magic "VFD1", kind u8, flags u8 (0), chunk count u16, basis count u16, u16 0, content length u32, stored length u32
//   chunks: per chunk its id (32) and its length u32
//   basis: per basis chunk its id (32) and u32: how many of its first bytes belong to the basis
//   payload: `stored length` bytes of zstd
//   checksum: XXH3-64 of everything before it
// copies: the payload is two zstd frames: the operations (varints, see the page), then all literals together, compressed with
// the copied content around them as prefix (protocol/delta/context.h).
// prefix: the payload is the content, compressed by zstd with the basis as prefix: where the sender has the basis' bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/chunk_id.h"
#include "protocol/delta/matcher.h"
#include "protocol/frame.h"

namespace vmferry::delta {

enum class DeltaKind : std::uint8_t { copies = 1, prefix = 2 };

// A chunk's first `length` bytes. The basis is these, one after another.
struct DeltaBasis {
  ChunkId id;
  std::uint32_t length = 0;
};

// One thread; reuse it, it keeps its zstd context.
class DeltaFrameBuilder {
 public:
  explicit DeltaFrameBuilder(int compression_level);
  ~DeltaFrameBuilder();
  DeltaFrameBuilder(DeltaFrameBuilder&&) noexcept;

  void set_level(int compression_level);
  // content: the chunks' bytes, one after another. At most limits::frame_chunks_max chunks and limits::frame_content_max
  // bytes, limits::delta_basis_chunks_max basis chunks and limits::delta_basis_max bytes of basis (std::logic_error).
  // size_max: gives up (an empty result) as soon as the frame would not be smaller than this.
  Bytes copies(std::span<const FrameChunk> chunks, ByteView content, std::span<const DeltaBasis> basis,
               std::span<const Copy> copies, std::size_t size_max);
  Bytes prefix(std::span<const FrameChunk> chunks, ByteView content, std::span<const DeltaBasis> basis,
               ByteView basis_content, std::size_t size_max);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Views into the caller's bytes.
struct DeltaFrameView {
  DeltaKind kind = DeltaKind::copies;
  std::vector<FrameChunk> chunks;
  std::vector<DeltaBasis> basis;
  std::uint32_t content_bytes = 0;
  std::uint32_t basis_bytes = 0;
  ByteView payload;
};

// Checks the checksum, every length and sum. Error{malformed}. `bytes` must be exactly one delta frame.
DeltaFrameView parse_delta_frame(ByteView bytes);

// DeltaPatcher: rebuilds content, by librsync's patch (copies) or zstd (prefix). One thread.
class DeltaPatcher {
 public:
  DeltaPatcher();
  ~DeltaPatcher();
  DeltaPatcher(DeltaPatcher&&) noexcept;

  // basis: exactly frame.basis_bytes. The content of all chunks, one after another, valid until the next call: its ids are not
  // checked. Error{malformed} for a payload that no sender makes: it does not decompress within its bounds, copies out of
  // range, sizes that do not add up.
  ByteView rebuild(const DeltaFrameView& frame, ByteView basis);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmferry::delta
