#include "protocol/delta/delta_frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

#include "protocol/checksum.h"
#include "protocol/compression.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/content.h"

namespace vmferry::delta {
namespace {

constexpr std::size_t no_limit = limits::delta_frame_max;

ChunkId id_of(unsigned char fill) {
  ChunkId id;
  id.bytes.fill(std::byte{fill});
  return id;
}

struct Example {
  Bytes basis_content = test::text_bytes(1, 100000);
  Bytes content = basis_content;
  std::vector<FrameChunk> chunks = {{id_of(1), 60000}, {id_of(2), 40000}};
  std::vector<DeltaBasis> basis = {{id_of(3), 50000}, {id_of(4), 50000}};
  std::vector<Copy> copies = {{0, 0, 40000}, {45000, 45000, 55000}};

  Example() {
    const Bytes fresh = test::text_bytes(2, 5000);
    std::ranges::copy(fresh, content.begin() + 40000);
  }
  Bytes copies_frame(std::size_t size_max = no_limit) const {
    return DeltaFrameBuilder(3).copies(chunks, content, basis, copies, size_max);
  }
  Bytes prefix_frame(std::size_t size_max = no_limit) const {
    return DeltaFrameBuilder(3).prefix(chunks, content, basis, basis_content, size_max);
  }
};

Bytes rebuilt(ByteView frame, ByteView basis) {
  DeltaPatcher patcher;
  const ByteView content = patcher.rebuild(parse_delta_frame(frame), basis);
  return {content.begin(), content.end()};
}

void expect_malformed(ByteView frame, ByteView basis, const std::string& what) {
  try {
    rebuilt(frame, basis);
    ADD_FAILURE() << what << " was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::malformed) << what;
  }
}

void fix_checksum(Bytes& frame) {
  frame.erase(frame.end() - 8, frame.end());
  ByteWriter sum;
  sum.u64(checksum64(frame));
  frame.insert(frame.end(), sum.view().begin(), sum.view().end());
}

TEST(DeltaFrame, BothKindsRebuildTheContent) {
  const Example example;
  for (const Bytes& frame : {example.copies_frame(), example.prefix_frame()}) {
    const DeltaFrameView view = parse_delta_frame(frame);
    ASSERT_EQ(view.chunks.size(), 2U);
    EXPECT_EQ(view.chunks[1].id, id_of(2));
    EXPECT_EQ(view.chunks[1].length, 40000U);
    ASSERT_EQ(view.basis.size(), 2U);
    EXPECT_EQ(view.basis[1].id, id_of(4));
    EXPECT_EQ(view.basis_bytes, 100000U);
    EXPECT_EQ(view.content_bytes, 100000U);
    EXPECT_LT(frame.size(), 4000U);
    EXPECT_EQ(rebuilt(frame, example.basis_content), example.content);
  }
}

TEST(DeltaFrame, GivesUpExactlyWhereItWouldNotBeSmaller) {
  const Example example;
  const std::size_t copies_size = example.copies_frame().size();
  EXPECT_EQ(example.copies_frame(copies_size + 1).size(), copies_size);
  EXPECT_TRUE(example.copies_frame(copies_size).empty());
  EXPECT_TRUE(example.copies_frame(100).empty());
  EXPECT_TRUE(example.copies_frame(0).empty());
  const std::size_t prefix_size = example.prefix_frame().size();
  EXPECT_EQ(example.prefix_frame(prefix_size + 1).size(), prefix_size);
  EXPECT_TRUE(example.prefix_frame(prefix_size).empty());
}

TEST(DeltaFrame, TheLevelCanChange) {
  const Example example;
  DeltaFrameBuilder builder(1);
  const std::size_t fast = builder.copies(example.chunks, example.content, example.basis, {}, no_limit).size();
  builder.set_level(19);
  EXPECT_LT(builder.copies(example.chunks, example.content, example.basis, {}, no_limit).size(), fast);
}

TEST(DeltaFrame, ThousandsOfScatteredChangesCostFewBytes) {
  test::Random random(3);
  const Bytes content = test::random_bytes(4, limits::delta_content_max);
  std::vector<Copy> copies;
  std::uint32_t done = 0;
  std::size_t literals = 0;
  for (std::uint32_t block = 0; block < content.size() / 512; ++block) {
    if (random.below(4) != 0) continue;
    if (block * 512 > done) copies.push_back({done, done, block * 512 - done});
    done = block * 512 + 512;
    literals += 512;
  }
  ASSERT_GT(copies.size(), 700U);
  const std::vector<FrameChunk> chunks = {{id_of(1), 1 << 20}, {id_of(2), 1 << 20}};
  const std::vector<DeltaBasis> basis = {{id_of(3), 1 << 20}, {id_of(4), 1 << 20}};
  literals += content.size() - done;
  const Bytes frame = DeltaFrameBuilder(3).copies(chunks, content, basis, copies, no_limit);
  EXPECT_LT(frame.size(), literals + copies.size() * 3 / 2 + 300);
}

// Every byte of a frame matters: with one changed it is refused, or (in the zstd payload) rebuilds something or is
// refused, but never anything else.
TEST(DeltaFrame, OneChangedByteIsRefusedByTheChecksumAndHarmlessWithoutIt) {
  const Example example;
  for (const Bytes& frame : {example.copies_frame(), example.prefix_frame()}) {
    for (std::size_t at = 0; at < frame.size(); ++at) {
      Bytes bad = frame;
      bad[at] ^= std::byte{0x41};
      EXPECT_THROW(parse_delta_frame(bad), Error) << at;
      fix_checksum(bad);
      try {
        const DeltaFrameView view = parse_delta_frame(bad);
        DeltaPatcher patcher;
        const Bytes basis(view.basis_bytes);
        EXPECT_EQ(patcher.rebuild(view, basis).size(), view.content_bytes);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::malformed) << at;
      }
    }
    for (std::size_t length = 0; length < frame.size(); length += 7)
      EXPECT_THROW(parse_delta_frame(ByteView(frame).first(length)), Error) << length;
  }
}

// Frames whose payload a sender with bad intent made.
class HostilePayload : public testing::Test {
 protected:
  static Bytes frame_of(ByteView payload, DeltaKind kind = DeltaKind::copies, std::uint32_t content = 1000,
                        std::uint32_t basis = 2000) {
    ByteWriter out;
    out.bytes(as_bytes("VFD1"));
    out.u8(static_cast<std::uint8_t>(kind));
    out.u8(0);
    out.u16(1);
    out.u16(1);
    out.u16(0);
    out.u32(content);
    out.u32(static_cast<std::uint32_t>(payload.size()));
    out.bytes(id_of(1).view());
    out.u32(content);
    out.bytes(id_of(2).view());
    out.u32(basis);
    out.bytes(payload);
    out.u64(checksum64(out.view()));
    return std::move(out).take();
  }
  static Bytes packed(ByteView plain, ByteView prefix = {}) {
    Bytes out(plain.size() + 1000);
    out.resize(*Compressor(1).compress(plain, out, prefix));
    return out;
  }
  // Operations, and as many literals (none: no second zstd frame) that need no context to unpack.
  static Bytes operations(std::initializer_list<std::uint64_t> numbers, std::size_t literals, std::uint8_t unit = 0) {
    ByteWriter out;
    out.u8(unit);
    for (const std::uint64_t number : numbers) out.varint(number);
    Bytes payload = packed(out.view());
    if (literals > 0) append(payload, packed(Bytes(literals)));
    return payload;
  }
  static void append(Bytes& all, ByteView more) { all.insert(all.end(), more.begin(), more.end()); }
  const Bytes basis_ = Bytes(2000, std::byte{5});
};

TEST_F(HostilePayload, IsRefused) {
  // At unit 2^0 a number is twice itself, and the place is zigzag: twice the twice.
  EXPECT_EQ(rebuilt(frame_of(operations({1, 2 * 10, 2 * 900, 4 * 1090}, 100)), basis_).size(), 1000U);  // the last that is right
  expect_malformed(frame_of(operations({1, 2 * 10, 2 * 900, 4 * 1091}, 100)), basis_, "a copy past the basis");
  expect_malformed(frame_of(operations({1, 2 * 10, 2 * 900, 2 * 21}, 100)), basis_, "a copy before the basis");
  expect_malformed(frame_of(operations({1, 0, 2 * 1001, 0}, 0)), basis_, "more than the content");
  expect_malformed(frame_of(operations({1, 2 * 101, 2 * 900, 0}, 101)), basis_, "literal and copy past the content");
  expect_malformed(frame_of(operations({1, 0, 0, 0}, 1000)), basis_, "a copy of nothing");
  expect_malformed(frame_of(operations({1, 0, 2 * 900, 0}, 99)), basis_, "literals missing");
  expect_malformed(frame_of(operations({1, 0, 2 * 900, 0}, 101)), basis_, "literals left over");
  expect_malformed(frame_of(operations({1, ~0ULL - 1, 2, 0}, 999)), basis_, "a literal that overflows");
  expect_malformed(frame_of(operations({1, 0, ~0ULL - 1, 0}, 999)), basis_, "a copy that overflows");
  expect_malformed(frame_of(operations({1, 0, 2, ~0ULL}, 999)), basis_, "a place that overflows");
  expect_malformed(frame_of(operations({1, 0, 2, ~0ULL - 1}, 999)), basis_, "a place that overflows backwards");
  expect_malformed(frame_of(operations({1, 0, 1ULL << 49, 0}, 999, 16)), basis_, "a unit that overflows");
  expect_malformed(frame_of(operations({1, 0, 2, 0}, 999, 17)), basis_, "an unknown unit");
  expect_malformed(frame_of(operations({1ULL << 40}, 100)), basis_, "more operations than there are bytes");
  expect_malformed(frame_of(operations({}, 0)), basis_, "no count");
  Bytes payload = operations({1, 0, 2 * 900, 0}, 100);
  EXPECT_EQ(rebuilt(frame_of(payload), basis_).size(), 1000U);
  append(payload, packed(Bytes(1)));
  expect_malformed(frame_of(payload), basis_, "a third zstd frame");
  payload = operations({1, 0, 2 * 900, 0}, 50);
  append(payload, packed(Bytes(50)));
  expect_malformed(frame_of(payload), basis_, "literals in two zstd frames");
  payload = operations({1, 0, 2 * 900, 0, 0}, 100);
  expect_malformed(frame_of(payload), basis_, "more numbers than operations");
  payload = operations({1, 0, 2 * 900, 0}, 0);
  expect_malformed(frame_of(payload), basis_, "no literals");
  append(payload, packed(Bytes(100 << 20)));
  expect_malformed(frame_of(payload), basis_, "a bomb of literals");
  payload = operations({1, 0, 2 * 1000, 0}, 0);
  EXPECT_EQ(rebuilt(frame_of(payload), basis_).size(), 1000U);
  append(payload, packed({}));
  expect_malformed(frame_of(payload), basis_, "literals of no bytes");
  expect_malformed(frame_of(packed({})), basis_, "nothing");
  expect_malformed(frame_of(Bytes(50, std::byte{1})), basis_, "no zstd");
  expect_malformed(frame_of(packed(Bytes(100 << 20))), basis_, "a bomb");
  expect_malformed(frame_of(packed(Bytes(100 << 20)), DeltaKind::prefix), basis_, "a bomb with a prefix");
  expect_malformed(frame_of(packed(Bytes(999)), DeltaKind::prefix), basis_, "too short");
  expect_malformed(frame_of(packed(Bytes(1000)), static_cast<DeltaKind>(3)), basis_, "an unknown kind");
  expect_malformed(frame_of(packed(Bytes(1000)), DeltaKind::prefix, 1000, 1 << 21), basis_, "a basis longer than a chunk");
  expect_malformed(frame_of(packed(Bytes(1000)), DeltaKind::prefix, 2 << 20, 2000), basis_, "a chunk longer than one");
  expect_malformed(frame_of({}), basis_, "no payload");
}

TEST(DeltaFrame, WhatNoMatcherMakesIsTheCallersFault) {
  const Example example;
  DeltaFrameBuilder builder(3);
  const auto build = [&](std::vector<Copy> copies) {
    return builder.copies(example.chunks, example.content, example.basis, copies, no_limit);
  };
  EXPECT_THROW(build({{0, 0, 0}}), std::logic_error);
  EXPECT_THROW(build({{0, 1, 100000}}), std::logic_error);
  EXPECT_THROW(build({{1, 0, 100000}}), std::logic_error);
  EXPECT_THROW(build({{0, 0, 10}, {9, 0, 10}}), std::logic_error);
  EXPECT_THROW(builder.copies({}, {}, example.basis, {}, no_limit), std::logic_error);
  EXPECT_THROW(builder.copies(example.chunks, example.content, {}, {}, no_limit), std::logic_error);
  EXPECT_THROW(builder.prefix(example.chunks, example.content, example.basis, Bytes(99999), no_limit), std::logic_error);
}

}  // namespace
}  // namespace vmferry::delta
