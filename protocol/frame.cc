#include "protocol/frame.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "protocol/checksum.h"
#include "protocol/compression.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry {
namespace {

constexpr std::string_view frame_magic = "VFF1";
constexpr std::size_t directory_entry_bytes = 32 + 4;

struct Header {
  FrameCodec codec;
  std::uint16_t chunk_count;
  std::uint32_t content_bytes;
  std::uint32_t stored_bytes;

  std::size_t frame_bytes() const {
    return frame_header_bytes + chunk_count * directory_entry_bytes + stored_bytes + checksum64_bytes;
  }
};

[[noreturn]] void throw_bad_frame(std::string_view why) {
  throw Error(ErrorCode::malformed, "cannot read a frame", {}, std::string(why));
}

void write_header(ByteWriter& out, const Header& header) {
  out.bytes(as_bytes(frame_magic));
  out.u8(static_cast<std::uint8_t>(header.codec));
  out.u8(0);  // flags
  out.u16(header.chunk_count);
  out.u32(header.content_bytes);
  out.u32(header.stored_bytes);
}

// Everything that the header alone can tell: after this the lengths may be trusted to be within limits.
Header read_header(ByteReader& in) {
  if (as_text(in.bytes(frame_magic.size())) != frame_magic) throw_bad_frame("it does not begin like one");
  const std::uint8_t codec = in.u8();
  const std::uint8_t flags = in.u8();
  Header header{static_cast<FrameCodec>(codec), in.u16(), in.u32(), in.u32()};
  if (codec > static_cast<std::uint8_t>(FrameCodec::zstd) || flags != 0) throw_bad_frame("unknown codec or flags");
  if (header.chunk_count == 0 || header.chunk_count > limits::frame_chunks_max) throw_bad_frame("bad chunk count");
  if (header.content_bytes == 0 || header.content_bytes > limits::frame_content_max)
    throw_bad_frame("bad content length");
  if (header.stored_bytes == 0 || header.stored_bytes > limits::frame_stored_max) throw_bad_frame("bad stored length");
  if (header.codec == FrameCodec::plain && header.stored_bytes != header.content_bytes)
    throw_bad_frame("plain content of another length");
  return header;
}

}  // namespace

struct FrameBuilder::State {
  Compressor zstd;
  std::vector<FrameChunk> chunks;
  Bytes content;
  Bytes compressed;  // grows to the largest content once

  Bytes frame(std::span<const FrameChunk> of_chunks, ByteView of_content);
};

FrameBuilder::FrameBuilder(int compression_level)
    : state_(std::make_unique<State>(State{Compressor(compression_level), {}, {}, {}})) {}
FrameBuilder::~FrameBuilder() = default;
FrameBuilder::FrameBuilder(FrameBuilder&&) noexcept = default;

void FrameBuilder::set_level(int compression_level) { state_->zstd.set_level(compression_level); }

void FrameBuilder::add(const ChunkId& id, ByteView content) {
  if (content.empty() || content.size() > limits::chunk_size_max ||
      content.size() > limits::frame_content_max - state_->content.size() ||
      state_->chunks.size() == limits::frame_chunks_max)
    throw std::logic_error("a chunk does not fit the frame");
  state_->chunks.push_back({id, static_cast<std::uint32_t>(content.size())});
  state_->content.insert(state_->content.end(), content.begin(), content.end());
}

bool FrameBuilder::empty() const noexcept { return state_->chunks.empty(); }
std::size_t FrameBuilder::content_bytes() const noexcept { return state_->content.size(); }
std::size_t FrameBuilder::chunk_count() const noexcept { return state_->chunks.size(); }

Bytes FrameBuilder::finish() {
  if (empty()) throw std::logic_error("a frame without chunks");
  Bytes frame = state_->frame(state_->chunks, state_->content);
  state_->chunks.clear();
  state_->content.clear();
  return frame;
}

Bytes FrameBuilder::build(std::span<const FrameChunk> chunks, ByteView content) {
  std::uint64_t sum = 0;
  for (const FrameChunk& chunk : chunks) {
    if (chunk.length == 0 || chunk.length > limits::chunk_size_max)
      throw std::logic_error("a chunk does not fit the frame");
    sum += chunk.length;
  }
  if (chunks.empty() || chunks.size() > limits::frame_chunks_max || sum != content.size() ||
      sum > limits::frame_content_max)
    throw std::logic_error("no such frame");
  return state_->frame(chunks, content);
}

Bytes FrameBuilder::State::frame(std::span<const FrameChunk> of_chunks, ByteView of_content) {
  // Room for one byte less than the content: zstd gives up as soon as it would not pay.
  if (compressed.size() < of_content.size()) compressed.resize(of_content.size());
  const auto packed = zstd.compress(of_content, std::span(compressed).first(of_content.size() - 1));
  const bool plain = !packed.has_value();
  const ByteView payload = plain ? of_content : ByteView(compressed).first(*packed);

  const Header header{plain ? FrameCodec::plain : FrameCodec::zstd, static_cast<std::uint16_t>(of_chunks.size()),
                      static_cast<std::uint32_t>(of_content.size()), static_cast<std::uint32_t>(payload.size())};
  ByteWriter out;
  out.reserve(header.frame_bytes());
  write_header(out, header);
  for (const FrameChunk& chunk : of_chunks) {
    out.bytes(chunk.id.view());
    out.u32(chunk.length);
  }
  out.bytes(payload);
  out.u64(checksum64(out.view()));
  return std::move(out).take();
}

std::optional<std::size_t> frame_length(ByteView beginning) {
  if (beginning.size() < frame_header_bytes) return std::nullopt;
  ByteReader in(beginning, "a frame");
  return read_header(in).frame_bytes();
}

FrameView parse_frame(ByteView bytes) {
  ByteReader in(bytes, "a frame");
  const Header header = read_header(in);
  if (header.frame_bytes() != bytes.size()) throw_bad_frame("its length is not what its header says");
  FrameView frame;
  frame.codec = header.codec;
  frame.content_bytes = header.content_bytes;
  frame.whole = bytes;
  frame.chunks.reserve(header.chunk_count);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < header.chunk_count; ++i) {
    const ChunkId id = ChunkId::from_bytes(in.bytes(32));
    const std::uint32_t length = in.u32();
    if (length == 0 || length > limits::chunk_size_max) throw_bad_frame("bad chunk length");
    sum += length;
    frame.chunks.push_back({id, length});
  }
  if (sum != header.content_bytes) throw_bad_frame("its chunks do not add up to its content");
  frame.payload = in.bytes(header.stored_bytes);
  if (in.u64() != checksum64(bytes.first(bytes.size() - checksum64_bytes)))
    throw Error(ErrorCode::damaged, "a frame's checksum is wrong", frame.chunks.front().id.to_string());
  return frame;
}

struct FrameDecoder::State {
  Decompressor zstd;
  Bytes content;
};

FrameDecoder::FrameDecoder() : state_(std::make_unique<State>()) {}
FrameDecoder::~FrameDecoder() = default;
FrameDecoder::FrameDecoder(FrameDecoder&&) noexcept = default;

ByteView FrameDecoder::decode(const FrameView& frame) {
  if (frame.codec == FrameCodec::plain) return frame.payload;
  if (frame.content_bytes > limits::frame_content_max) throw_bad_frame("bad content length");
  if (state_->content.size() < frame.content_bytes) state_->content.resize(frame.content_bytes);
  const std::span<std::byte> content = std::span(state_->content).first(frame.content_bytes);
  decode_into(frame, content);
  return content;
}

void FrameDecoder::decode_into(const FrameView& frame, std::span<std::byte> content) {
  if (content.size() != frame.content_bytes) throw std::logic_error("a frame's content is of another size");
  if (frame.codec == FrameCodec::plain) {
    std::ranges::copy(frame.payload, content.begin());
    return;
  }
  std::string why = "its content is too short";
  if (state_->zstd.decompress(frame.payload, content, {}, why) != frame.content_bytes)
    throw Error(ErrorCode::damaged, "a frame does not decompress", frame.chunks.front().id.to_string(), why);
}

void FrameDecoder::decode_verified(const FrameView& frame, const DomainKey& key,
                                   const std::function<void(const ChunkId&, ByteView content)>& use) {
  ByteView rest = decode(frame);
  for (const FrameChunk& chunk : frame.chunks) {
    const ByteView content = rest.first(chunk.length);
    rest = rest.subspan(chunk.length);
    if (chunk_id_of(key, content) != chunk.id)
      throw Error(ErrorCode::damaged, "a chunk is not what its id says", chunk.id.to_string());
    use(chunk.id, content);
  }
}

}  // namespace vmferry
