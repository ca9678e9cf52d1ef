// The bytes of signatures and delta frames, as docs/format shows them.
#include <gtest/gtest.h>

#include "protocol/compression.h"
#include "protocol/delta/context.h"
#include "protocol/delta/delta_frame.h"
#include "protocol/delta/operations.h"
#include "protocol/delta/signature.h"
#include "protocol/limits.h"
#include "tests/golden/formats/doc_examples.h"

namespace vmferry::delta {
namespace {

using test::example_bytes;
using test::expect_hex;

Bytes example_chunk() {
  Bytes chunk(150);
  for (std::size_t i = 0; i < chunk.size(); ++i) chunk[i] = static_cast<std::byte>(i * i >> 3 & 0xff);
  return chunk;
}
Bytes example_basis() {
  Bytes basis = example_chunk();
  basis.resize(128);
  return basis;
}
Bytes example_content() {
  const Bytes basis = example_basis();
  ByteWriter content;
  content.bytes(ByteView(basis).first(64));
  content.bytes(as_bytes("Hello"));
  content.bytes(ByteView(basis).subspan(64));
  content.bytes(as_bytes("World!"));
  return std::move(content).take();
}
const std::vector<Copy> example_copies = {{0, 0, 64}, {69, 64, 64}};

TEST(FormatExamples, Signature) {
  const Bytes example = example_bytes("signature.md", "signature");
  expect_hex(make_signature(example_chunk(), {64, 4}), example);
  const SignatureView view = parse_signature(example);
  EXPECT_EQ(view.chunk_bytes, 150U);
  EXPECT_EQ(view.blocks(), 2U);
  expect_hex(to_librsync_signature(std::span(&view, 1)), example_bytes("signature.md", "librsync"));
}

TEST(FormatExamples, SignatureWithFineSums) {
  Bytes chunk(200);
  for (std::size_t i = 0; i < chunk.size(); ++i) chunk[i] = static_cast<std::byte>(i * i >> 3 & 0xff);
  const Bytes example = example_bytes("signature.md", "fine");
  expect_hex(make_signature(chunk, {128, 6, 64}), example);
  const SignatureView view = parse_signature(example);
  EXPECT_EQ(view.blocks(), 1U);
  EXPECT_EQ(view.fine_blocks(), 4U);
  EXPECT_EQ(view.fine_block_bytes(3), 8U);
  EXPECT_EQ(view.basis_bytes(), 200U);
}

TEST(FormatExamples, DeltaOperations) {
  const Bytes example = example_bytes("delta-frame.md", "operations");
  expect_hex(encode_operations(example_copies), example);
  ByteReader in(example);
  std::vector<Copy> copies;
  decode_operations(in, 139, 128, copies);
  EXPECT_EQ(copies, example_copies);
  EXPECT_TRUE(in.at_end());
}

TEST(FormatExamples, DeltaFrames) {
  DomainKey key;
  for (std::size_t i = 0; i < key.bytes.size(); ++i) key.bytes[i] = static_cast<std::byte>(i);
  const Bytes chunk = example_chunk();
  const Bytes basis = example_basis();
  const Bytes content = example_content();
  DeltaFrameBuilder builder(3);
  for (const std::string name : {"copies", "prefix"}) {
    const Bytes example = example_bytes("delta-frame.md", name);
    const DeltaFrameView frame = parse_delta_frame(example);
    EXPECT_EQ(frame.kind, name == "copies" ? DeltaKind::copies : DeltaKind::prefix);
    ASSERT_EQ(frame.chunks.size(), 1U);
    EXPECT_EQ(frame.chunks[0].id, chunk_id_of(key, content));
    ASSERT_EQ(frame.basis.size(), 1U);
    EXPECT_EQ(frame.basis[0].id, chunk_id_of(key, chunk));
    EXPECT_EQ(frame.basis_bytes, 128U);
    DeltaPatcher patcher;
    expect_hex(patcher.rebuild(frame, basis), content);
    // Written again, all but zstd's own bytes are the same: the header, the directories.
    const Bytes again = name == "copies"
                            ? builder.copies(frame.chunks, content, frame.basis, example_copies, limits::delta_frame_max)
                            : builder.prefix(frame.chunks, content, frame.basis, basis, limits::delta_frame_max);
    expect_hex(ByteView(again).first(16), ByteView(example).first(16));
    expect_hex(ByteView(again).subspan(20, 72), ByteView(example).subspan(20, 72));
  }
}

TEST(FormatExamples, DeltaContext) {
  const Bytes basis = example_basis();
  ByteWriter writer;
  writer.bytes(ByteView(basis).first(64));
  writer.bytes(as_bytes("Hello"));
  writer.bytes(ByteView(basis).subspan(16, 32));
  writer.bytes(as_bytes("World!"));
  writer.bytes(ByteView(basis).subspan(64));
  const Bytes content = std::move(writer).take();
  const std::vector<Copy> copies = {{0, 0, 64}, {107, 64, 64}};

  const Bytes payload = example_bytes("delta-frame.md", "context");
  const std::size_t first = Decompressor::frame_bytes(payload);
  Decompressor zstd;
  std::string why;
  Bytes out(1000);
  out.resize(zstd.decompress(ByteView(payload).first(first), out, {}, why).value());
  expect_hex(out, encode_operations(copies));
  Bytes context;
  context_of_basis(basis, copies, context);
  expect_hex(context, basis);  // both copies are short: all of both
  out.resize(1000);
  out.resize(zstd.decompress(ByteView(payload).subspan(first), out, context, why).value());
  expect_hex(out, ByteView(content).subspan(64, 43));

  // The sender's is as long: it finds the 32 bytes in the context, too.
  const std::vector<FrameChunk> chunks = {{ChunkId{}, static_cast<std::uint32_t>(content.size())}};
  const std::vector<DeltaBasis> parts = {{ChunkId{}, static_cast<std::uint32_t>(basis.size())}};
  DeltaFrameBuilder builder(3);
  const Bytes frame = builder.copies(chunks, content, parts, copies, limits::delta_frame_max);
  const DeltaFrameView view = parse_delta_frame(frame);
  EXPECT_LE(view.payload.size(), payload.size() + 4) << to_hex(view.payload);
  DeltaPatcher patcher;
  expect_hex(patcher.rebuild(view, basis), content);
  DeltaFrameView shown = view;
  shown.payload = payload;
  expect_hex(patcher.rebuild(shown, basis), content);
}

}  // namespace
}  // namespace vmferry::delta
