// Delta frames as their header says, but with a payload that is not compressed: until protocol/delta/delta_frame.cc is there.
// Delete this file then: the tests are written against the header alone.
#include "protocol/checksum.h"
#include "protocol/delta/delta_frame.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::delta {
namespace {

constexpr std::uint32_t magic = 0x31444656;

Bytes encode(DeltaKind kind, std::span<const FrameChunk> chunks, std::size_t content_bytes,
             std::span<const DeltaBasis> basis, ByteView payload) {
  ByteWriter out;
  out.u32(magic);
  out.u8(static_cast<std::uint8_t>(kind));
  out.u8(0);
  out.u16(static_cast<std::uint16_t>(chunks.size()));
  out.u16(static_cast<std::uint16_t>(basis.size()));
  out.u16(0);
  out.u32(static_cast<std::uint32_t>(content_bytes));
  out.u32(static_cast<std::uint32_t>(payload.size()));
  for (const FrameChunk& chunk : chunks) out.bytes(chunk.id.view()), out.u32(chunk.length);
  for (const DeltaBasis& part : basis) out.bytes(part.id.view()), out.u32(part.length);
  out.bytes(payload);
  out.u64(checksum64(out.view()));
  return std::move(out).take();
}

[[noreturn]] void malformed(const char* why) { throw Error(ErrorCode::malformed, "no delta frame", {}, why); }

}  // namespace

struct DeltaFrameBuilder::State {};
DeltaFrameBuilder::DeltaFrameBuilder(int) {}
DeltaFrameBuilder::~DeltaFrameBuilder() = default;
Bytes DeltaFrameBuilder::copies(std::span<const FrameChunk> chunks, ByteView content, std::span<const DeltaBasis> basis,
                                std::span<const Copy> copies, std::size_t) {
  ByteWriter payload;
  payload.u32(static_cast<std::uint32_t>(copies.size()));
  for (const Copy& copy : copies) payload.u32(copy.at), payload.u32(copy.from), payload.u32(copy.length);
  std::size_t at = 0;
  for (const Copy& copy : copies) {
    payload.bytes(content.subspan(at, copy.at - at));
    at = copy.at + copy.length;
  }
  payload.bytes(content.subspan(at));
  return encode(DeltaKind::copies, chunks, content.size(), basis, payload.view());
}
Bytes DeltaFrameBuilder::prefix(std::span<const FrameChunk> chunks, ByteView content, std::span<const DeltaBasis> basis,
                                ByteView, std::size_t) {
  return encode(DeltaKind::prefix, chunks, content.size(), basis, content);
}

DeltaFrameView parse_delta_frame(ByteView bytes) {
  ByteReader in(bytes, "a delta frame");
  DeltaFrameView view;
  if (in.u32() != magic) malformed("magic");
  const auto kind = in.u8();
  if (kind != 1 && kind != 2) malformed("kind");
  view.kind = static_cast<DeltaKind>(kind);
  in.u8();
  const std::size_t chunks = in.u16(), basis = in.u16();
  in.u16();
  view.content_bytes = in.u32();
  const std::uint32_t stored = in.u32();
  std::uint64_t content_sum = 0, basis_sum = 0;
  for (std::size_t i = 0; i < chunks; ++i) {
    const ChunkId id = ChunkId::from_bytes(in.bytes(32));
    view.chunks.push_back({id, in.u32()});
    if (view.chunks.back().length == 0) malformed("a chunk of no bytes");
    content_sum += view.chunks.back().length;
  }
  for (std::size_t i = 0; i < basis; ++i) {
    const ChunkId id = ChunkId::from_bytes(in.bytes(32));
    view.basis.push_back({id, in.u32()});
    basis_sum += view.basis.back().length;
  }
  if (content_sum != view.content_bytes || content_sum > limits::delta_content_max || chunks == 0 ||
      basis_sum > limits::delta_basis_max || basis > limits::delta_basis_chunks_max)
    malformed("sums");
  view.basis_bytes = static_cast<std::uint32_t>(basis_sum);
  view.payload = in.bytes(stored);
  if (in.u64() != checksum64(bytes.first(bytes.size() - 8)) || !in.at_end()) malformed("checksum");
  return view;
}

struct DeltaPatcher::State {
  Bytes content;
};
DeltaPatcher::DeltaPatcher() : state_(std::make_unique<State>()) {}
DeltaPatcher::~DeltaPatcher() = default;
ByteView DeltaPatcher::rebuild(const DeltaFrameView& frame, ByteView basis) {
  if (frame.kind == DeltaKind::prefix) return frame.payload;
  Bytes& content = state_->content;
  content.clear();
  ByteReader in(frame.payload);
  std::vector<Copy> copies(in.u32());
  for (Copy& copy : copies) copy.at = in.u32(), copy.from = in.u32(), copy.length = in.u32();
  const auto append = [&](ByteView bytes) { content.insert(content.end(), bytes.begin(), bytes.end()); };
  for (const Copy& copy : copies) {
    append(in.bytes(copy.at - content.size()));
    if (copy.from > basis.size() || copy.length > basis.size() - copy.from) malformed("a copy out of range");
    append(basis.subspan(copy.from, copy.length));
  }
  append(in.rest());
  if (content.size() != frame.content_bytes) malformed("sizes");
  return content;
}

}  // namespace vmferry::delta
