#include "target-server/store/pack_format.h"

#include <algorithm>
#include <bit>

#include "protocol/checksum.h"
#include "protocol/error.h"

namespace vmferry::store {
namespace {

constexpr std::string_view header_magic = "VFK1";
constexpr std::string_view footer_magic = "VFKE";
constexpr std::uint16_t version = 1;
constexpr std::size_t table_entry_bytes = 44;
constexpr std::size_t trailer_head_bytes = 4 + 16;

void expect(bool holds, const char* why) {
  if (!holds) throw Error(ErrorCode::malformed, "this is no pack of vmferry's", {}, why);
}

}  // namespace

Bytes encode_pack_header(const PackHeader& header) {
  ByteWriter out;
  out.bytes(as_bytes(header_magic));
  out.u16(version);
  out.u16(0);
  out.bytes(header.store.view());
  out.bytes(header.domain.view());
  out.bytes(header.pack.view());
  out.u64(static_cast<std::uint64_t>(header.created_ms));
  out.u64(checksum64(out.view()));
  return std::move(out).take();
}

PackHeader decode_pack_header(ByteView bytes) {
  expect(bytes.size() >= pack_header_bytes, "it is shorter than a header");
  ByteReader in(bytes.first(pack_header_bytes), "a pack's header");
  expect(as_text(in.bytes(4)) == header_magic, "its header has another magic");
  const std::uint16_t found_version = in.u16();
  const std::uint16_t flags = in.u16();
  PackHeader header;
  header.store = Uuid::from_bytes(in.bytes(16));
  header.domain = Uuid::from_bytes(in.bytes(16));
  header.pack = Uuid::from_bytes(in.bytes(16));
  header.created_ms = static_cast<std::int64_t>(in.u64());
  if (in.u64() != checksum64(bytes.first(pack_header_bytes - 8)))
    throw Error(ErrorCode::damaged, "a pack's header is damaged", {}, "its checksum does not match");
  if (found_version != version || flags != 0)
    throw Error(ErrorCode::version, "a pack was written by a newer vmferry", header.pack.to_string(), "update vmferry");
  return header;
}

void sort_pack_chunks(std::vector<PackChunk>& chunks) {
  std::sort(chunks.begin(), chunks.end(), [](const PackChunk& a, const PackChunk& b) {
    return a.id != b.id ? a.id < b.id : a.offset < b.offset;
  });
  const auto same_id = [](const PackChunk& a, const PackChunk& b) { return a.id == b.id; };
  chunks.erase(std::unique(chunks.begin(), chunks.end(), same_id), chunks.end());
}

Bytes encode_pack_trailer(const Uuid& pack, std::uint64_t frames_end, std::span<const PackChunk> chunks) {
  ByteWriter out;
  out.bytes(as_bytes(trailer_magic));
  out.bytes(pack.view());
  for (const PackChunk& chunk : chunks) {
    out.bytes(chunk.id.view());
    out.u64(chunk.offset);
    out.u32(chunk.length);
  }
  out.u64(frames_end);
  out.u64(chunks.size());
  out.u64(checksum64(out.view()));
  out.bytes(as_bytes(footer_magic));
  return std::move(out).take();
}

PackTrailer read_pack_trailer(const ReadAt& read, std::uint64_t size, const Uuid& pack) {
  expect(size >= pack_header_bytes + trailer_head_bytes + pack_footer_bytes, "it is too short for a trailer");
  std::array<std::byte, pack_footer_bytes> footer{};
  expect(read(size - footer.size(), footer) == footer.size(), "its end cannot be read");
  expect(as_text(footer).substr(24) == footer_magic, "it has no footer");
  ByteReader foot(footer, "a pack's footer");
  PackTrailer trailer;
  trailer.frames_end = foot.u64();
  const std::uint64_t count = foot.u64();
  trailer.check = foot.u64();
  expect(count <= pack_chunks_max, "its table is too long");
  const std::uint64_t length = trailer_head_bytes + count * table_entry_bytes + pack_footer_bytes;
  expect(trailer.frames_end >= pack_header_bytes && trailer.frames_end <= size && size - trailer.frames_end == length,
         "its footer does not fit its size");

  Bytes bytes(static_cast<std::size_t>(length));
  expect(read(trailer.frames_end, bytes) == bytes.size(), "its trailer cannot be read");
  if (trailer.check != checksum64(ByteView(bytes).first(bytes.size() - 12)))
    throw Error(ErrorCode::damaged, "a pack's trailer is damaged", pack.to_string(), "its checksum does not match");
  ByteReader in(bytes, "a pack's trailer");
  expect(as_text(in.bytes(4)) == trailer_magic, "its trailer has another magic");
  expect(Uuid::from_bytes(in.bytes(16)) == pack, "its trailer belongs to another pack");
  trailer.chunks.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    PackChunk chunk;
    chunk.id = ChunkId::from_bytes(in.bytes(32));
    chunk.offset = in.u64();
    chunk.length = in.u32();
    expect(chunk.offset >= pack_header_bytes && range_fits(chunk.offset, chunk.length, trailer.frames_end) &&
               chunk.length > frame_header_bytes && chunk.length <= pack_frame_bytes_max,
           "its table names bytes that are no frame");
    expect(trailer.chunks.empty() || trailer.chunks.back().id < chunk.id, "its table is not sorted");
    trailer.chunks.push_back(chunk);
  }
  return trailer;
}

std::uint64_t chain_frame(std::uint64_t chain, std::uint64_t frame_checksum, std::uint32_t frame_length) noexcept {
  return (std::rotl(chain, 23) ^ frame_checksum ^ frame_length) * 0x9e3779b97f4a7c15ULL;
}

std::uint64_t frame_checksum_of(ByteView whole_frame) {
  return ByteReader(whole_frame.last(8), "a frame's checksum").u64();
}

}  // namespace vmferry::store
