#include "protocol/image_map.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry {
namespace {

Bytes key_of(std::uint64_t offset) {
  ByteWriter key;
  key.u64_big_endian(offset);
  return std::move(key).take();
}

[[noreturn]] void throw_bad_map(std::uint64_t offset, std::string_view why) {
  throw Error(ErrorCode::malformed, "cannot read an image map", "disk offset " + std::to_string(offset),
              std::string(why));
}

bool continues(const MapEntry& before, const MapEntry& entry) {
  if (before.kind != entry.kind) return false;
  if (entry.kind != MapKind::data) return true;
  return before.chunk == entry.chunk && before.chunk_offset + before.disk.length == entry.chunk_offset;
}

}  // namespace

void encode_map_entry(const MapEntry& entry, Bytes& key, Bytes& value) {
  ByteWriter out;
  out.u64_big_endian(entry.disk.offset);
  key.assign(out.view().begin(), out.view().end());
  out.clear();
  out.u8(static_cast<std::uint8_t>(entry.kind));
  out.varint(entry.disk.length);
  if (entry.kind == MapKind::data) {
    out.bytes(entry.chunk.view());
    out.varint(entry.chunk_offset);
  }
  value.assign(out.view().begin(), out.view().end());
}

MapEntry decode_map_entry(ByteView key, ByteView value) {
  MapEntry entry;
  ByteReader key_in(key, "an image map key");
  entry.disk.offset = key_in.u64_big_endian();
  key_in.expect_end();
  ByteReader in(value, "an image map entry");
  const std::uint8_t kind = in.u8();
  if (kind > static_cast<std::uint8_t>(MapKind::excluded)) throw_bad_map(entry.disk.offset, "unknown kind of range");
  entry.kind = static_cast<MapKind>(kind);
  entry.disk.length = in.varint();
  if (entry.disk.length == 0 || !range_fits(entry.disk.offset, entry.disk.length, limits::disk_bytes_max))
    throw_bad_map(entry.disk.offset, "bad length of a range");
  if (entry.kind == MapKind::data) {
    entry.chunk = ChunkId::from_bytes(in.bytes(entry.chunk.bytes.size()));
    const std::uint64_t chunk_offset = in.varint();
    if (!range_fits(chunk_offset, entry.disk.length, limits::chunk_size_max))
      throw_bad_map(entry.disk.offset, "a slice past the largest chunk");
    entry.chunk_offset = static_cast<std::uint32_t>(chunk_offset);
  }
  in.expect_end();
  return entry;
}

struct ImageMapWriter::State {
  State(const DomainKey& domain_key, TreeBuilder::EmitNode emit) : tree(domain_key, std::move(emit)) {}

  TreeBuilder tree;
  std::optional<MapEntry> pending;
  std::uint64_t covered = 0;
  Bytes key;
  Bytes value;

  void flush() {
    if (!pending) return;
    encode_map_entry(*pending, key, value);
    tree.add(key, value);
    pending.reset();
  }
};

ImageMapWriter::ImageMapWriter(const DomainKey& key, TreeBuilder::EmitNode emit)
    : state_(std::make_unique<State>(key, std::move(emit))) {}
ImageMapWriter::~ImageMapWriter() = default;

void ImageMapWriter::add(const MapEntry& entry) {
  State& state = *state_;
  if (entry.disk.offset != state.covered || entry.disk.length == 0 ||
      !range_fits(entry.disk.offset, entry.disk.length, limits::disk_bytes_max))
    throw std::logic_error("image map entries do not follow each other at " + std::to_string(entry.disk.offset));
  if (entry.kind == MapKind::data && !range_fits(entry.chunk_offset, entry.disk.length, limits::chunk_size_max))
    throw std::logic_error("an image map slice past the largest chunk");
  state.covered = entry.disk.end();
  if (state.pending && continues(*state.pending, entry)) {
    state.pending->disk.length += entry.disk.length;
    return;
  }
  state.flush();
  state.pending = entry;
}

TreeRoot ImageMapWriter::finish(std::uint64_t disk_bytes) {
  if (state_->covered != disk_bytes) throw std::logic_error("an image map does not cover the disk");
  state_->flush();
  return state_->tree.finish();
}

struct ImageMapReader::State {
  State(const TreeRoot& root, std::uint64_t bytes, ChunkSource& source, TreeWalk walk)
      : cursor(root, source, walk), disk_bytes(bytes) {}

  TreeCursor cursor;
  std::uint64_t disk_bytes;
  std::uint64_t end = 0;  // of the entry that was given last

  // The cursor's entry, which must hold `offset`.
  MapEntry entry_holding(std::uint64_t offset) {
    if (cursor.at_end()) throw_bad_map(offset, "the map has a gap");
    MapEntry entry = decode_map_entry(cursor.entry().key, cursor.entry().value);
    if (entry.disk.offset > offset || entry.disk.end() <= offset) throw_bad_map(offset, "the map has a gap");
    if (entry.disk.end() > disk_bytes) throw_bad_map(offset, "the map goes past the disk's end");
    end = entry.disk.end();
    return entry;
  }
};

ImageMapReader::ImageMapReader(TreeRoot root, std::uint64_t disk_bytes, ChunkSource& source, TreeWalk walk)
    : state_(std::make_unique<State>(root, disk_bytes, source, walk)) {}
ImageMapReader::~ImageMapReader() = default;

std::optional<MapEntry> ImageMapReader::at(std::uint64_t offset) {
  State& state = *state_;
  if (offset >= state.disk_bytes) {
    state.end = state.disk_bytes;
    return std::nullopt;
  }
  state.cursor.seek_floor(key_of(offset));
  MapEntry entry = state.entry_holding(offset);
  const std::uint64_t skipped = offset - entry.disk.offset;
  entry.disk = {offset, entry.disk.length - skipped};
  if (entry.kind == MapKind::data) entry.chunk_offset += static_cast<std::uint32_t>(skipped);
  return entry;
}

std::optional<MapEntry> ImageMapReader::next() {
  State& state = *state_;
  if (state.end >= state.disk_bytes) return std::nullopt;
  if (state.end == 0) return at(0);
  const std::uint64_t expected = state.end;
  if (!state.cursor.at_end()) state.cursor.next();
  MapEntry entry = state.entry_holding(expected);
  if (entry.disk.offset != expected) throw_bad_map(expected, "the map's ranges overlap");
  return entry;
}

std::uint64_t ImageMapReader::disk_bytes() const noexcept { return state_->disk_bytes; }

}  // namespace vmferry
