#include "protocol/image_map.h"

#include <gtest/gtest.h>

#include <random>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/memory_chunks.h"

namespace vmferry {
namespace {

using test::MemoryChunks;

const DomainKey map_key{};

ChunkId id_of(std::uint32_t number) {
  ChunkId id;
  std::memcpy(id.bytes.data(), &number, sizeof number);
  return id;
}

MapEntry data(std::uint64_t offset, std::uint64_t length, std::uint32_t chunk, std::uint32_t chunk_offset = 0) {
  return {{offset, length}, MapKind::data, id_of(chunk), chunk_offset};
}
MapEntry other(std::uint64_t offset, std::uint64_t length, MapKind kind) { return {{offset, length}, kind, {}, 0}; }

TreeRoot write(const std::vector<MapEntry>& entries, MemoryChunks& chunks) {
  ImageMapWriter writer(map_key, chunks.emit());
  std::uint64_t end = 0;
  for (const MapEntry& entry : entries) {
    writer.add(entry);
    end = entry.disk.end();
  }
  return writer.finish(end);
}

std::vector<MapEntry> read_all(TreeRoot root, std::uint64_t disk_bytes, ChunkSource& source) {
  std::vector<MapEntry> entries;
  ImageMapReader reader(root, disk_bytes, source);
  for (auto entry = reader.next(); entry; entry = reader.next()) entries.push_back(*entry);
  return entries;
}

// No two neighbours that the writer would join: the chunk numbers differ, kinds alternate.
std::vector<MapEntry> random_map(std::size_t count, std::mt19937& random) {
  std::vector<MapEntry> entries;
  std::uint64_t offset = 0;
  MapKind before = MapKind::data;
  for (std::uint32_t i = 0; i < count; ++i) {
    MapKind kind = random() % 4 == 0 ? static_cast<MapKind>(random() % 5) : MapKind::data;
    if (kind == before) kind = MapKind::data;
    const std::uint64_t length = kind == MapKind::data ? 512 * (1 + random() % 256) : 512 * (1 + random() % 100000);
    const auto chunk_offset = static_cast<std::uint32_t>(512 * (random() % 100));
    entries.push_back(kind == MapKind::data ? data(offset, length, i, chunk_offset) : other(offset, length, kind));
    offset += length;
    before = kind;
  }
  return entries;
}

TEST(ImageMap, GivesBackEveryRange) {
  std::mt19937 random(1);
  for (const std::size_t count : {1U, 2U, 100U, 20000U}) {
    MemoryChunks chunks;
    const auto entries = random_map(count, random);
    const TreeRoot root = write(entries, chunks);
    EXPECT_EQ(root.entries, count);
    EXPECT_EQ(read_all(root, entries.back().disk.end(), chunks), entries);
  }
}

TEST(ImageMap, AnyOffsetIsFoundAndClipped) {
  std::mt19937 random(2);
  MemoryChunks chunks;
  const auto entries = random_map(5000, random);
  const std::uint64_t disk_bytes = entries.back().disk.end();
  ImageMapReader reader(write(entries, chunks), disk_bytes, chunks);
  EXPECT_EQ(reader.disk_bytes(), disk_bytes);
  for (int i = 0; i < 2000; ++i) {
    const std::size_t index = random() % entries.size();
    MapEntry expected = entries[index];
    const std::uint64_t skipped = random() % expected.disk.length;
    expected.disk = {expected.disk.offset + skipped, expected.disk.length - skipped};
    if (expected.kind == MapKind::data) expected.chunk_offset += static_cast<std::uint32_t>(skipped);
    EXPECT_EQ(reader.at(expected.disk.offset), expected);
    // next() goes on after the whole entry.
    if (index + 1 < entries.size()) {
      EXPECT_EQ(reader.next(), entries[index + 1]);
    } else {
      EXPECT_EQ(reader.next(), std::nullopt);
    }
  }
  EXPECT_EQ(reader.at(disk_bytes), std::nullopt);
  EXPECT_EQ(reader.next(), std::nullopt);
}

TEST(ImageMap, JoinsWhatContinues) {
  MemoryChunks chunks;
  const TreeRoot root = write({other(0, 512, MapKind::hole), other(512, 512, MapKind::hole), data(1024, 512, 1, 512),
                               data(1536, 512, 1, 1024), data(2048, 512, 1, 2048), data(2560, 512, 2, 2560)},
                              chunks);
  EXPECT_EQ(read_all(root, 3072, chunks),
            (std::vector<MapEntry>{other(0, 1024, MapKind::hole), data(1024, 1024, 1, 512), data(2048, 512, 1, 2048),
                                   data(2560, 512, 2, 2560)}));
}

TEST(ImageMap, WriterRefusesGapsOverlapsAndAnotherSize) {
  MemoryChunks chunks;
  ImageMapWriter writer(map_key, chunks.emit());
  writer.add(other(0, 1024, MapKind::free));
  EXPECT_THROW(writer.add(other(1536, 512, MapKind::free)), std::logic_error);
  EXPECT_THROW(writer.add(other(512, 512, MapKind::free)), std::logic_error);
  EXPECT_THROW(writer.add(other(1024, 0, MapKind::free)), std::logic_error);
  EXPECT_THROW(writer.add(data(1024, 512, 1, limits::chunk_size_max)), std::logic_error);
  EXPECT_THROW(writer.finish(2048), std::logic_error);
}

TEST(ImageMap, AnEmptyDiskHasAnEmptyMap) {
  MemoryChunks chunks;
  const TreeRoot root = write({}, chunks);
  EXPECT_EQ(root.levels, 0);
  ImageMapReader reader(root, 0, chunks);
  EXPECT_EQ(reader.at(0), std::nullopt);
  EXPECT_EQ(reader.next(), std::nullopt);
}

// What a broken writer or a lying peer could make: the tree is right, the map is not.
TreeRoot forge(const std::vector<MapEntry>& entries, MemoryChunks& chunks) {
  TreeBuilder builder(map_key, chunks.emit());
  for (const MapEntry& entry : entries) {
    Bytes k;
    Bytes v;
    encode_map_entry(entry, k, v);
    builder.add(k, v);
  }
  return builder.finish();
}

TEST(ImageMap, ReaderNoticesGapsAndOverlaps) {
  MemoryChunks chunks;
  const auto zero = [](std::uint64_t offset, std::uint64_t length) { return other(offset, length, MapKind::zero); };
  const std::vector<std::vector<MapEntry>> bad = {
      {}, {zero(512, 512)}, {zero(0, 512), zero(768, 256)}, {zero(0, 512)}, {zero(0, 768), zero(512, 512)},
      {zero(0, 1536)}, {zero(0, 512), zero(512, 1024)}};
  for (const auto& entries : bad) EXPECT_THROW(read_all(forge(entries, chunks), 1024, chunks), Error);
  ImageMapReader reader(forge({zero(0, 512), zero(768, 256)}, chunks), 1024, chunks);
  EXPECT_THROW(reader.at(600), Error);
  EXPECT_TRUE(reader.at(800));
}

TEST(ImageMap, CodecRefusesImpossibleEntries) {
  const auto code = [](ByteView k, ByteView v) {
    try {
      decode_map_entry(k, v);
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::failed;
  };
  Bytes k;
  Bytes v;
  const MapEntry good = data(4096, 65536, 7, 100);
  encode_map_entry(good, k, v);
  EXPECT_EQ(decode_map_entry(k, v), good);
  for (std::size_t length = 0; length < v.size(); ++length)
    EXPECT_EQ(code(k, ByteView(v).first(length)), ErrorCode::malformed);
  EXPECT_EQ(code(ByteView(k).first(7), v), ErrorCode::malformed);
  for (const MapEntry& bad :
       {other(0, 0, MapKind::zero), other(0, 512, static_cast<MapKind>(5)), other(0, ~std::uint64_t{0}, MapKind::hole),
        other(~std::uint64_t{0}, 2, MapKind::hole), data(0, limits::chunk_size_max + 1, 1), data(0, 1, 1, 1 << 20)}) {
    encode_map_entry(bad, k, v);
    EXPECT_EQ(code(k, v), ErrorCode::malformed);
  }
}

}  // namespace
}  // namespace vmferry
