// The formats' bytes, as docs/format shows them: each example is read, compared with what the page says of it, and
// written again. A failure here means that stores in the field cannot be read, or that a page is wrong.
#include <gtest/gtest.h>

#include <map>

#include "protocol/chunker.h"
#include "protocol/file_index.h"
#include "protocol/frame.h"
#include "protocol/image_map.h"
#include "protocol/point.h"
#include "protocol/tree.h"
#include "tests/golden/formats/doc_examples.h"
#include "tests/support/memory_chunks.h"

namespace vmferry {
namespace {

using test::example_bytes;
using test::expect_hex;

// The domain key of all examples: 00 01 02 .. 1f.
DomainKey example_key() {
  DomainKey key;
  for (std::size_t i = 0; i < key.bytes.size(); ++i) key.bytes[i] = static_cast<std::byte>(i);
  return key;
}

ChunkId id_of(unsigned char fill) {
  ChunkId id;
  id.bytes.fill(std::byte{fill});
  return id;
}

Uuid uuid_of(unsigned char fill) {
  Uuid uuid;
  uuid.bytes.fill(std::byte{fill});
  return uuid;
}

Bytes frame_of(const std::vector<std::string>& chunks) {
  FrameBuilder builder(3);
  for (const std::string& chunk : chunks) builder.add(chunk_id_of(example_key(), as_bytes(chunk)), as_bytes(chunk));
  return builder.finish();
}

std::vector<std::string> chunks_of(ByteView frame) {
  std::vector<std::string> chunks;
  FrameDecoder decoder;
  decoder.decode_verified(parse_frame(frame), example_key(),
                          [&](const ChunkId&, ByteView content) { chunks.emplace_back(as_text(content)); });
  return chunks;
}

TEST(FormatExamples, PlainFrame) {
  const std::vector<std::string> chunks = {"Hello", "World!"};
  const Bytes example = example_bytes("frame.md", "plain");
  EXPECT_EQ(chunks_of(example), chunks);
  expect_hex(frame_of(chunks), example);
}

// zstd's bytes may change with its version, and may: only reading them is part of the format.
TEST(FormatExamples, CompressedFrame) {
  EXPECT_EQ(chunks_of(example_bytes("frame.md", "zstd")), (std::vector<std::string>{std::string(200, 'a')}));
}

TEST(FormatExamples, TreeLeafAndInnerNode) {
  const Bytes leaf = example_bytes("tree.md", "leaf");
  const TreeNode parsed = parse_tree_node(leaf);
  EXPECT_EQ(parsed.level, 0);
  std::map<std::string, std::string> entries;
  for (const TreeEntry& entry : parsed.entries) entries.emplace(as_text(entry.key), as_text(entry.value));
  EXPECT_EQ(entries, (std::map<std::string, std::string>{{"apple", "red"}, {"apricot", ""}, {"banana", "yellow"}}));

  test::MemoryChunks chunks;
  TreeBuilder builder(example_key(), chunks.emit());
  for (const auto& [k, v] : entries) builder.add(as_bytes(k), as_bytes(v));
  const TreeRoot root = builder.finish();
  EXPECT_EQ(root.levels, 1);
  expect_hex(chunks.chunks.at(root.node), leaf);
  EXPECT_EQ(root.node, chunk_id_of(example_key(), leaf));

  const TreeNode inner = parse_tree_node(example_bytes("tree.md", "inner"));
  EXPECT_EQ(inner.level, 1);
  ASSERT_EQ(inner.children.size(), 2U);
  EXPECT_EQ(as_text(inner.children[0].first_key), "apple");
  EXPECT_EQ(inner.children[0].node, root.node);
  EXPECT_EQ(inner.children[0].entries, 3U);
  EXPECT_EQ(as_text(inner.children[1].first_key), "apricots");
  EXPECT_EQ(inner.children[1].entries, 300U);
}

// 1000 entries make these nodes and no others: where nodes end is part of the format.
TEST(FormatExamples, TreeCuts) {
  test::MemoryChunks chunks;
  std::vector<std::size_t> node_bytes;
  TreeBuilder builder(example_key(), [&](const ChunkId& id, ByteView node) {
    chunks.emit()(id, node);
    node_bytes.push_back(node.size());
  });
  for (std::uint32_t i = 0; i < 1000; ++i) {
    ByteWriter key;
    key.u64_big_endian(std::uint64_t{i} << 16);
    builder.add(key.view(), Bytes(36, static_cast<std::byte>(i & 0xff)));
  }
  const TreeRoot root = builder.finish();
  expect_hex(root.node.view(), example_bytes("tree.md", "root-of-1000"));
  EXPECT_EQ(root.levels, 2);
}

TEST(FormatExamples, ImageMapEntries) {
  const std::map<std::string, MapEntry> entries = {
      {"data", {{0x100000, 65536}, MapKind::data, id_of(0xab), 4096}},
      {"free", {{0x110000, 1 << 20}, MapKind::free, {}, 0}}};
  for (const auto& [name, entry] : entries) {
    const Bytes key = example_bytes("image-map.md", name + "-key");
    const Bytes value = example_bytes("image-map.md", name + "-value");
    EXPECT_EQ(decode_map_entry(key, value), entry);
    Bytes again_key;
    Bytes again_value;
    encode_map_entry(entry, again_key, again_value);
    expect_hex(again_key, key);
    expect_hex(again_value, value);
  }
}

TEST(FormatExamples, FileIndexName) {
  NameEntry entry;
  entry.parent = std::uint64_t{5} << 48 | 5;
  entry.record = std::uint64_t{3} << 48 | 0x1234;
  entry.name = u"a\u00e9";
  entry.attributes = 0x20;
  entry.data_bytes = 1000;
  entry.times = {133000000000000000, 133000000000000001, 133000000000000000, 133000000000000000};
  const Bytes key = example_bytes("file-index.md", "name-key");
  const Bytes value = example_bytes("file-index.md", "name-value");
  EXPECT_EQ(decode_name(key, value), entry);
  expect_hex(name_key(entry.parent, upcase_simple(entry.name), entry.name), key);
  expect_hex(encode_name(entry), value);
}

TEST(FormatExamples, FileIndexRecord) {
  RecordEntry entry;
  entry.record = std::uint64_t{3} << 48 | 0x1234;
  entry.links = 1;
  StreamEntry data;
  data.attribute_type = 0x80;
  data.flags = 0x8000;
  data.data_bytes = data.initialized_bytes = 40000;
  data.runs = {{1000, 4}, {StreamRun::run_hole, 2}, {990, 4}};
  StreamEntry zone;
  zone.attribute_type = 0x80;
  zone.name = u"Z";
  zone.resident = true;
  zone.data_bytes = zone.initialized_bytes = 26;
  entry.streams = {data, zone};
  const Bytes key = example_bytes("file-index.md", "record-key");
  const Bytes value = example_bytes("file-index.md", "record-value");
  EXPECT_EQ(decode_record(key, value), entry);
  expect_hex(record_key(entry.record), key);
  expect_hex(encode_record(entry), value);
}

RestorePoint example_point() {
  RestorePoint point;
  point.uuid = uuid_of(1);
  point.number = 12;
  point.machine_uuid = uuid_of(2);
  point.machine_name = "web1";
  point.client_uuid = uuid_of(3);
  point.client_name = "esx";
  point.domain_uuid = uuid_of(4);
  point.source = SourceKind::frozen;
  point.taken_ms = 1763784000000;
  point.arrived_ms = 1763784060000;
  PointDisk disk;
  disk.key = "disk0";
  disk.file_name = "web1.vmdk";
  disk.uuid = uuid_of(5);
  disk.size_bytes = 1 << 20;
  disk.format = "monolithicSparse";
  disk.ddb = {{"ddb.adapterType", "ide"}};
  disk.image_map = {id_of(6), 1, 3};
  disk.bytes = {.data = 65536, .hole = (1 << 20) - 65536};
  point.disks = {disk};
  point.report.disk_bytes = 1 << 20;
  point.report.warnings = {{"partition_table", "disk0", "bad"}};
  point.software = "vmferry 0.1.0";
  return point;
}

TEST(FormatExamples, Point) {
  const Bytes example = example_bytes("point.md", "point");
  EXPECT_EQ(decode_point(example), example_point());
  expect_hex(encode_point(example_point()), example);
}

TEST(FormatExamples, ChunkIdAndCuts) {
  expect_hex(chunk_id_of(example_key(), as_bytes("Hello")).view(), example_bytes("chunking.md", "chunk-id"));
  ChunkingParameters parameters{64, 64, 256, 1};
  ByteWriter cuts;
  Bytes bytes(1000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * i >> 3 & 0xff);
  const Chunker chunker(parameters);
  for (ByteView rest = bytes; !rest.empty();) {
    const std::size_t length = chunker.next_cut(rest);
    cuts.u16(static_cast<std::uint16_t>(length));
    rest = rest.subspan(length);
  }
  expect_hex(cuts.view(), example_bytes("chunking.md", "cuts"));
}

}  // namespace
}  // namespace vmferry
