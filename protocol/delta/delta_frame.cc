#include "protocol/delta/delta_frame.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "protocol/checksum.h"
#include "protocol/compression.h"
#include "protocol/delta/context.h"
#include "protocol/delta/librsync_delta.h"
#include "protocol/delta/librsync_patch.h"
#include "protocol/delta/operations.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::delta {
namespace {

constexpr std::string_view delta_frame_magic = "VFD1";
constexpr std::size_t header_bytes = 20;
constexpr std::size_t directory_entry_bytes = 32 + 4;
constexpr std::size_t checksum_bytes = 8;

std::size_t bytes_around_payload(std::size_t chunk_count, std::size_t basis_count) {
  return header_bytes + (chunk_count + basis_count) * directory_entry_bytes + checksum_bytes;
}

// The longest payload of a frame that is smaller than size_max; 0 where there is none.
std::size_t payload_bytes_max(std::size_t chunk_count, std::size_t basis_count, std::size_t size_max) {
  const std::size_t around = bytes_around_payload(chunk_count, basis_count);
  return size_max <= around + 1 ? 0 : std::min(size_max - around - 1, limits::frame_stored_max);
}

[[noreturn]] void throw_malformed(std::string_view why) {
  throw Error(ErrorCode::malformed, "cannot read a delta frame", {}, std::string(why));
}

template <typename Entry>
std::uint64_t sum_of_lengths(std::span<const Entry> entries) {
  std::uint64_t sum = 0;
  for (const Entry& entry : entries) sum += entry.length;
  return sum;
}

// What any sender must keep to: a fault in the caller, so not an Error.
std::uint64_t check_caller(std::span<const FrameChunk> chunks, ByteView content, std::span<const DeltaBasis> basis) {
  const std::uint64_t basis_bytes = sum_of_lengths(basis);
  const auto too_short_or_long = [](const auto& part) {
    return part.length == 0 || part.length > limits::chunk_size_max;
  };
  const bool lengths_right =
      std::ranges::none_of(chunks, too_short_or_long) && std::ranges::none_of(basis, too_short_or_long);
  if (chunks.empty() || chunks.size() > limits::frame_chunks_max || content.size() > limits::frame_content_max ||
      basis.empty() || basis.size() > limits::delta_basis_chunks_max || basis_bytes > limits::delta_basis_max ||
      !lengths_right || sum_of_lengths(chunks) != content.size())
    throw std::logic_error("no such delta frame");
  return basis_bytes;
}

}  // namespace

struct DeltaFrameBuilder::State {
  Compressor zstd;
  Bytes literals;
  Bytes context;
  Bytes payload;  // grows to the largest once

  // Room for the payload of a frame that is smaller than size_max, and what zstd wants past it while it works.
  std::span<std::byte> room(std::size_t payload_max);
  Bytes frame(DeltaKind kind, std::span<const FrameChunk> chunks, std::size_t content_bytes,
              std::span<const DeltaBasis> basis, ByteView packed) const;
};

std::span<std::byte> DeltaFrameBuilder::State::room(std::size_t payload_max) {
  constexpr std::size_t spare_bytes = 1024;
  const std::size_t bytes = payload_max + spare_bytes;
  if (payload.size() < bytes) payload.resize(bytes);
  return std::span(payload).first(bytes);
}

Bytes DeltaFrameBuilder::State::frame(DeltaKind kind, std::span<const FrameChunk> chunks, std::size_t content_bytes,
                                      std::span<const DeltaBasis> basis, ByteView packed) const {
  ByteWriter out;
  out.reserve(bytes_around_payload(chunks.size(), basis.size()) + packed.size());
  out.bytes(as_bytes(delta_frame_magic));
  out.u8(static_cast<std::uint8_t>(kind));
  out.u8(0);  // flags
  out.u16(static_cast<std::uint16_t>(chunks.size()));
  out.u16(static_cast<std::uint16_t>(basis.size()));
  out.u16(0);
  out.u32(static_cast<std::uint32_t>(content_bytes));
  out.u32(static_cast<std::uint32_t>(packed.size()));
  for (const FrameChunk& chunk : chunks) {
    out.bytes(chunk.id.view());
    out.u32(chunk.length);
  }
  for (const DeltaBasis& part : basis) {
    out.bytes(part.id.view());
    out.u32(part.length);
  }
  out.bytes(packed);
  out.u64(checksum64(out.view()));
  return std::move(out).take();
}

DeltaFrameBuilder::DeltaFrameBuilder(int compression_level)
    : state_(std::make_unique<State>(State{Compressor(compression_level), {}, {}, {}})) {}
DeltaFrameBuilder::~DeltaFrameBuilder() = default;
DeltaFrameBuilder::DeltaFrameBuilder(DeltaFrameBuilder&&) noexcept = default;

void DeltaFrameBuilder::set_level(int compression_level) { state_->zstd.set_level(compression_level); }

Bytes DeltaFrameBuilder::copies(std::span<const FrameChunk> chunks, ByteView content, std::span<const DeltaBasis> basis,
                                std::span<const Copy> copies, std::size_t size_max) {
  const std::uint64_t basis_bytes = check_caller(chunks, content, basis);
  State& state = *state_;
  state.literals.clear();
  std::uint64_t done = 0;
  for (const Copy& copy : copies) {
    const std::uint64_t end = std::uint64_t{copy.at} + copy.length;
    if (copy.at < done || copy.length == 0 || end > content.size() ||
        std::uint64_t{copy.from} + copy.length > basis_bytes)
      throw std::logic_error("copies that no matcher makes");
    const ByteView literal = content.subspan(done, copy.at - done);
    state.literals.insert(state.literals.end(), literal.begin(), literal.end());
    done = end;
  }
  const ByteView tail = content.subspan(done);
  state.literals.insert(state.literals.end(), tail.begin(), tail.end());

  const std::size_t payload_max = payload_bytes_max(chunks.size(), basis.size(), size_max);
  const Bytes operations = encode_operations(copies);
  if (payload_max == 0 || operations.size() > operations_bytes_max(content.size())) return {};
  const std::span<std::byte> room = state.room(payload_max);
  // Two zstd frames: in one, the numbers would spoil the statistics of the literals (and cost twice as much
  // themselves).
  const auto first = state.zstd.compress(operations, room);
  if (!first || *first > payload_max) return {};
  std::size_t packed = *first;
  if (!state.literals.empty()) {
    context_of_content(content, copies, state.context);
    const auto second = state.zstd.compress(state.literals, room.subspan(packed), state.context);
    if (!second || packed + *second > payload_max) return {};
    packed += *second;
  }
  return state.frame(DeltaKind::copies, chunks, content.size(), basis, room.first(packed));
}

Bytes DeltaFrameBuilder::prefix(std::span<const FrameChunk> chunks, ByteView content, std::span<const DeltaBasis> basis,
                                ByteView basis_content, std::size_t size_max) {
  if (check_caller(chunks, content, basis) != basis_content.size()) throw std::logic_error("a basis of another length");
  const std::size_t payload_max = payload_bytes_max(chunks.size(), basis.size(), size_max);
  if (payload_max == 0) return {};
  const std::span<std::byte> room = state_->room(payload_max);
  const auto packed = state_->zstd.compress(content, room, basis_content);
  if (!packed || *packed > payload_max) return {};
  return state_->frame(DeltaKind::prefix, chunks, content.size(), basis, room.first(*packed));
}

DeltaFrameView parse_delta_frame(ByteView bytes) {
  ByteReader in(bytes, "a delta frame");
  if (as_text(in.bytes(delta_frame_magic.size())) != delta_frame_magic) throw_malformed("it does not begin like one");
  DeltaFrameView frame;
  const std::uint8_t kind = in.u8();
  if (kind != static_cast<std::uint8_t>(DeltaKind::copies) && kind != static_cast<std::uint8_t>(DeltaKind::prefix))
    throw_malformed("unknown kind");
  frame.kind = static_cast<DeltaKind>(kind);
  if (in.u8() != 0) throw_malformed("unknown flags");
  const std::uint16_t chunk_count = in.u16();
  const std::uint16_t basis_count = in.u16();
  if (in.u16() != 0) throw_malformed("unknown flags");
  frame.content_bytes = in.u32();
  const std::uint32_t stored_bytes = in.u32();
  if (chunk_count == 0 || chunk_count > limits::frame_chunks_max) throw_malformed("bad chunk count");
  if (basis_count == 0 || basis_count > limits::delta_basis_chunks_max) throw_malformed("bad basis count");
  if (frame.content_bytes == 0 || frame.content_bytes > limits::frame_content_max)
    throw_malformed("bad content length");
  if (stored_bytes == 0 || stored_bytes > limits::frame_stored_max) throw_malformed("bad stored length");
  if (bytes.size() != bytes_around_payload(chunk_count, basis_count) + stored_bytes)
    throw_malformed("its length is not what its header says");

  frame.chunks.reserve(chunk_count);
  for (std::size_t i = 0; i < chunk_count; ++i) {
    const ChunkId id = ChunkId::from_bytes(in.bytes(32));
    const std::uint32_t length = in.u32();
    if (length == 0 || length > limits::chunk_size_max) throw_malformed("bad chunk length");
    frame.chunks.push_back({id, length});
  }
  if (sum_of_lengths(std::span<const FrameChunk>(frame.chunks)) != frame.content_bytes)
    throw_malformed("its chunks do not add up to its content");
  frame.basis.reserve(basis_count);
  for (std::size_t i = 0; i < basis_count; ++i) {
    const ChunkId id = ChunkId::from_bytes(in.bytes(32));
    const std::uint32_t length = in.u32();
    if (length == 0 || length > limits::chunk_size_max) throw_malformed("bad basis length");
    frame.basis.push_back({id, length});
  }
  const std::uint64_t basis_bytes = sum_of_lengths(std::span<const DeltaBasis>(frame.basis));
  if (basis_bytes > limits::delta_basis_max) throw_malformed("too much basis");
  frame.basis_bytes = static_cast<std::uint32_t>(basis_bytes);
  frame.payload = in.bytes(stored_bytes);
  if (in.u64() != checksum64(bytes.first(bytes.size() - checksum_bytes))) throw_malformed("its checksum is wrong");
  return frame;
}

struct DeltaPatcher::State {
  Decompressor zstd;
  Bytes operations;
  Bytes literals;
  Bytes context;
  Bytes content;
  std::vector<Copy> copies;

  ByteView decompress(ByteView packed, Bytes& out, std::size_t bytes_max, ByteView prefix);
  void patch(const DeltaFrameView& frame, ByteView basis);
};

DeltaPatcher::DeltaPatcher() : state_(std::make_unique<State>()) {}
DeltaPatcher::~DeltaPatcher() = default;
DeltaPatcher::DeltaPatcher(DeltaPatcher&&) noexcept = default;

ByteView DeltaPatcher::State::decompress(ByteView packed, Bytes& out, std::size_t bytes_max, ByteView prefix) {
  if (out.size() < bytes_max) out.resize(bytes_max);
  std::string why;
  const auto got = zstd.decompress(packed, std::span(out).first(bytes_max), prefix, why);
  if (!got) throw_malformed("its payload does not decompress: " + why);
  return ByteView(out).first(*got);
}

ByteView DeltaPatcher::rebuild(const DeltaFrameView& frame, ByteView basis) {
  if (frame.content_bytes > limits::frame_content_max || basis.size() != frame.basis_bytes)
    throw std::logic_error("a delta frame that was not parsed, or another basis");
  State& state = *state_;
  if (frame.kind == DeltaKind::copies)
    state.patch(frame, basis);
  else if (state.decompress(frame.payload, state.content, frame.content_bytes, basis).size() != frame.content_bytes)
    throw_malformed("its content is too short");
  return ByteView(state.content).first(frame.content_bytes);
}

void DeltaPatcher::State::patch(const DeltaFrameView& frame, ByteView basis) {
  const std::size_t first = Decompressor::frame_bytes(frame.payload);
  if (first == 0) throw_malformed("its payload does not begin with operations");
  ByteReader in(decompress(frame.payload.first(first), operations, operations_bytes_max(frame.content_bytes), {}),
                "a delta's operations");
  decode_operations(in, frame.content_bytes, frame.basis_bytes, copies);
  in.expect_end();

  std::uint64_t copied = 0;
  for (const Copy& copy : copies) copied += copy.length;
  const auto literal_bytes = static_cast<std::size_t>(frame.content_bytes - copied);
  ByteView rest = frame.payload.subspan(first);
  if (rest.empty() != (literal_bytes == 0)) throw_malformed("its copies and literals do not add up to its content");
  if (literal_bytes > 0) {
    if (Decompressor::frame_bytes(rest) != rest.size()) throw_malformed("its literals are not one zstd frame");
    context_of_basis(basis, copies, context);
    rest = decompress(rest, literals, literal_bytes, context);
    if (rest.size() != literal_bytes) throw_malformed("its copies and literals do not add up to its content");
  }
  if (content.size() < frame.content_bytes) content.resize(frame.content_bytes);
  LibrsyncDeltaWriter delta;
  delta.reserve(16 * copies.size() + literal_bytes + 64);
  std::uint32_t done = 0;
  for (const Copy& copy : copies) {
    delta.literal(rest.first(copy.at - done));
    rest = rest.subspan(copy.at - done);
    delta.copy(copy.from, copy.length);
    done = copy.at + copy.length;
  }
  delta.literal(rest);
  delta.end();
  if (!librsync_patch(basis, delta.view(), std::span(content).first(frame.content_bytes)))
    throw_malformed("librsync does not patch it");
}

}  // namespace vmferry::delta
