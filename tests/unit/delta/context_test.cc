#include "protocol/delta/context.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "protocol/delta/delta_frame.h"
#include "protocol/limits.h"
#include "tests/support/content.h"

namespace vmferry::delta {
namespace {

Bytes of_basis(ByteView basis, const std::vector<Copy>& copies) {
  Bytes context = {std::byte{1}};  // what the last frame left
  context_of_basis(basis, copies, context);
  return context;
}

Bytes slice(ByteView bytes, std::size_t at, std::size_t length) {
  const ByteView part = bytes.subspan(at, length);
  return {part.begin(), part.end()};
}

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

TEST(Context, IsTheEndsOfEachCopyInTheOrderOfTheContent) {
  const Bytes basis = test::random_bytes(1, 20000);
  EXPECT_EQ(of_basis(basis, {}), Bytes());
  EXPECT_EQ(of_basis(basis, {{0, 7, 1}}), slice(basis, 7, 1));
  EXPECT_EQ(of_basis(basis, {{0, 100, 4096}}), slice(basis, 100, 4096));
  EXPECT_EQ(of_basis(basis, {{0, 100, 4097}}), slice(basis, 100, 2048) + slice(basis, 2149, 2048));
  EXPECT_EQ(of_basis(basis, {{0, 15000, 5000}, {6000, 10, 20}, {6020, 15, 20}}),
            slice(basis, 15000, 2048) + slice(basis, 17952, 2048) + slice(basis, 10, 20) + slice(basis, 15, 20));
}

TEST(Context, IsTheSameForSenderAndTargetAndNoLongerThanTheContent) {
  test::Random random(2);
  for (int round = 0; round < 100; ++round) {
    const Bytes basis = test::random_bytes(random.next(), random.size_between(1, 50000));
    Bytes content;
    std::vector<Copy> copies;
    for (std::uint64_t left = random.below(12); left != 0; --left) {
      const Bytes literal = test::random_bytes(random.next(), random.below(300));
      content.insert(content.end(), literal.begin(), literal.end());
      const auto from = static_cast<std::uint32_t>(random.below(basis.size()));
      const auto length = static_cast<std::uint32_t>(random.size_between(1, basis.size() - from));
      copies.push_back({static_cast<std::uint32_t>(content.size()), from, length});
      content.insert(content.end(), basis.begin() + from, basis.begin() + from + length);
    }
    Bytes context;
    context_of_content(content, copies, context);
    EXPECT_EQ(context, of_basis(basis, copies));
    EXPECT_LE(context.size(), content.size());
  }
}

// Records of which the copied neighbours tell nearly all: without context each costs its 60 random bytes.
TEST(Context, ALiteralThatLooksLikeItsNeighbourCostsLittle) {
  Bytes basis;
  const Bytes record = test::random_bytes(3, 60);
  for (int i = 0; i < 1000; ++i) {
    basis.insert(basis.end(), record.begin(), record.end());
    const Bytes number = test::random_bytes(1000 + static_cast<std::uint64_t>(i), 4);
    basis.insert(basis.end(), number.begin(), number.end());
  }
  Bytes content = basis;
  for (std::size_t i = 0; i < 4; ++i) content[32000 + 60 + i] ^= std::byte{0x77};
  const std::vector<Copy> copies = {{0, 0, 32000}, {32064, 32064, 31936}};
  const std::vector<FrameChunk> chunks = {{ChunkId{}, 64000}};
  const std::vector<DeltaBasis> parts = {{ChunkId{}, 64000}};
  const Bytes frame = DeltaFrameBuilder(3).copies(chunks, content, parts, copies, limits::delta_frame_max);
  EXPECT_LT(frame.size(), 100U + 60);
  DeltaPatcher patcher;
  const DeltaFrameView view = parse_delta_frame(frame);
  EXPECT_EQ(to_hex(patcher.rebuild(view, basis)), to_hex(content));
  // Another basis makes other content, as long: never a frame that cannot be unpacked.
  const Bytes other = test::random_bytes(4, basis.size());
  EXPECT_NE(to_hex(patcher.rebuild(view, other)), to_hex(content));
}

// Files that hold zstd's dictionaries are content like any other.
TEST(Context, ThatBeginsLikeAZstdDictionaryIsPlainBytes) {
  Bytes basis = test::text_bytes(5, 4000);
  std::ranges::copy(std::to_array({std::byte{0x37}, std::byte{0xa4}, std::byte{0x30}, std::byte{0xec}}), basis.begin());
  Bytes content = basis;
  const Bytes literal = slice(basis, 500, 300);
  content.insert(content.end(), literal.begin(), literal.end());
  const std::vector<FrameChunk> chunks = {{ChunkId{}, 4300}};
  const std::vector<DeltaBasis> parts = {{ChunkId{}, 4000}};
  const std::vector<Copy> copies = {{0, 0, 4000}};
  const Bytes frame = DeltaFrameBuilder(3).copies(chunks, content, parts, copies, limits::delta_frame_max);
  EXPECT_LT(frame.size(), 100U + 60);
  DeltaPatcher patcher;
  EXPECT_EQ(to_hex(patcher.rebuild(parse_delta_frame(frame), basis)), to_hex(content));
}

}  // namespace
}  // namespace vmferry::delta
