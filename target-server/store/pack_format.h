// Pack: an append-only file of frames of one domain. docs/format/pack.md has the layout with worked hex:
//   header (72 bytes), frames exactly as protocol/frame.h has them, and once it is sealed a trailer: a table of the
//   pack's chunks sorted by id, and a footer at the file's very end from which a reader finds the table.
// Pure codecs over bytes that may be hostile; scan_frames reads through a function. Thread-safe, no state.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "protocol/byte_range.h"
#include "protocol/chunk_id.h"
#include "protocol/frame.h"
#include "protocol/limits.h"
#include "protocol/uuid.h"

namespace vmferry::store {

inline constexpr std::size_t pack_header_bytes = 72;
inline constexpr std::size_t pack_footer_bytes = 28;
inline constexpr std::string_view trailer_magic = "VFKT";
inline constexpr std::uint64_t pack_chunks_max = 1u << 20;  // of one pack: bounds its table in memory
inline constexpr std::size_t pack_frame_bytes_max =
    frame_header_bytes + limits::frame_chunks_max * 36 + limits::frame_stored_max + 8;

struct PackHeader {
  Uuid store, domain, pack;
  std::int64_t created_ms = 0;
  bool operator==(const PackHeader&) const = default;
};
Bytes encode_pack_header(const PackHeader& header);
PackHeader decode_pack_header(ByteView bytes);  // Error{malformed}, Error{damaged} (checksum), Error{version}

// Where a chunk's frame lies in its pack.
struct PackChunk {
  ChunkId id;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  bool operator==(const PackChunk&) const = default;
};
// Sorts by id; of the chunks that are there twice it keeps the first in the pack.
void sort_pack_chunks(std::vector<PackChunk>& chunks);

struct PackTrailer {
  std::uint64_t frames_end = 0;  // the trailer begins here
  std::uint64_t check = 0;       // identifies the pack's content
  std::vector<PackChunk> chunks;
};
// `chunks` sorted as by sort_pack_chunks.
Bytes encode_pack_trailer(const Uuid& pack, std::uint64_t frames_end, std::span<const PackChunk> chunks);

// Reads at an offset; fewer bytes than asked for only at the end.
using ReadAt = std::function<std::size_t(std::uint64_t offset, std::span<std::byte> into)>;

// The trailer of a pack of `size` bytes. Error{malformed}, Error{damaged}.
PackTrailer read_pack_trailer(const ReadAt& read, std::uint64_t size, const Uuid& pack);

struct ScannedFrame {
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  std::uint64_t checksum = 0;
  std::vector<FrameChunk> chunks;
};
using UseFrame = std::function<void(const ScannedFrame&)>;

struct ScanResult {
  std::uint64_t end = 0;           // after the last good frame: from here on is a trailer, or a torn tail
  bool trailer = false;            // a trailer's magic stands at `end`
  std::vector<ByteRange> damaged;  // bad bytes with good frames after them
};
// Finds every good frame in [begin, size), checksums checked. After bad bytes it looks for the next good frame, and
// believes it only with every chunk checked against its id (a frame may lie, by intent, inside another's content).
ScanResult scan_frames(const ReadAt& read, std::uint64_t begin, std::uint64_t size, const DomainKey& key,
                       const UseFrame& use);
// Walks frames that are known to be good by their headers and directories only. False where they are not frames, or
// do not end at `end` exactly.
bool walk_frames(const ReadAt& read, std::uint64_t begin, std::uint64_t end, const UseFrame& use);

// A running value over a pack's frames: equal values, equal frames in equal order.
std::uint64_t chain_frame(std::uint64_t chain, std::uint64_t frame_checksum, std::uint32_t frame_length) noexcept;
std::uint64_t frame_checksum_of(ByteView whole_frame);

}  // namespace vmferry::store
