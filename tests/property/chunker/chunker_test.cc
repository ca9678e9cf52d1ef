#include "protocol/chunker.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "protocol/chunk_id.h"
#include "protocol/error.h"

namespace vmferry {
namespace {

Bytes random_bytes(std::size_t length, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(length);
  for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(random() & 0xff);
  return bytes;
}

std::vector<std::size_t> cut_all(const Chunker& chunker, ByteView bytes) {
  std::vector<std::size_t> lengths;
  while (!bytes.empty()) {
    const std::size_t length = chunker.next_cut(bytes);
    lengths.push_back(length);
    bytes = bytes.subspan(length);
  }
  return lengths;
}

// The chunker as docs/format/chunking.md has it, byte by byte.
std::size_t next_cut_by_the_book(const ChunkingParameters& parameters, ByteView bytes) {
  std::uint64_t gear[256];
  std::uint64_t state = parameters.gear_seed;
  for (std::uint64_t& value : gear) {
    state += 0x9e3779b97f4a7c15ULL;
    value = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
    value ^= value >> 31;
  }
  const auto mask = [](int bits) {
    std::uint64_t ones = 0;
    for (int bit = 62; bits > 0; bit -= 2, --bits) ones |= std::uint64_t{1} << bit;
    return ones;
  };
  const int bits = std::countr_zero(parameters.size_average);
  const std::size_t end = std::min<std::size_t>(bytes.size(), parameters.size_max);
  for (std::size_t length = parameters.size_min; length < end; ++length) {
    std::uint64_t hash = 0;
    for (std::size_t i = length < 64 ? 0 : length - 64; i < length; ++i)
      hash = (hash << 1) + gear[std::to_integer<std::size_t>(bytes[i])];
    if ((hash & mask(length <= parameters.size_average ? bits + 2 : bits - 2)) == 0) return length;
  }
  return end;
}

const ChunkingParameters small_ones[] = {
    {64, 64, 64, 1}, {1, 64, 4096, 2}, {63, 128, 8192, 3}, {64, 256, 20000, 4}, {1000, 4096, 40000, 5}};

TEST(Chunker, CutsAsTheFormatSays) {
  for (const ChunkingParameters& parameters : small_ones) {
    const Chunker chunker(parameters);
    const Bytes bytes = random_bytes(300000, parameters.gear_seed);
    for (std::size_t at = 0; at < bytes.size();) {
      const ByteView rest = ByteView(bytes).subspan(at);
      const std::size_t length = chunker.next_cut(rest);
      ASSERT_EQ(length, next_cut_by_the_book(parameters, rest)) << parameters.size_average << " at " << at;
      at += length;
    }
  }
}

TEST(Chunker, CutsAreWithinBoundsAndNearTheAverage) {
  const ChunkingParameters parameters;
  const Bytes bytes = random_bytes(32 << 20, 6);
  const auto lengths = cut_all(Chunker(parameters), bytes);
  for (std::size_t i = 0; i + 1 < lengths.size(); ++i) {
    EXPECT_GE(lengths[i], parameters.size_min);
    EXPECT_LE(lengths[i], parameters.size_max);
  }
  const std::size_t mean = bytes.size() / lengths.size();
  EXPECT_GT(mean, parameters.size_average);
  EXPECT_LT(mean, parameters.size_average * 5 / 4);
}

TEST(Chunker, ACutDependsOnlyOnTheBytesFromTheChunksStart) {
  const Chunker chunker({});
  const Bytes bytes = random_bytes(1 << 20, 7);
  for (std::size_t at = 0; at < (700 << 10); at += 54321) {
    const ByteView rest = ByteView(bytes).subspan(at);
    const std::size_t length = chunker.next_cut(rest);
    Bytes elsewhere = random_bytes(300 << 10, at);
    std::copy_n(rest.begin(), length, elsewhere.begin());
    EXPECT_EQ(chunker.next_cut(elsewhere), length);
    EXPECT_EQ(chunker.next_cut(rest.first(length)), length);
  }
}

TEST(Chunker, AnInsertedByteChangesFewCuts) {
  const Chunker chunker({});
  Bytes bytes = random_bytes(8 << 20, 8);
  const auto ends_of = [&](const Bytes& of) {
    std::vector<std::size_t> ends;
    std::size_t from_end = of.size();
    for (const std::size_t length : cut_all(chunker, of)) ends.push_back(from_end -= length);
    return ends;
  };
  const auto before = ends_of(bytes);
  bytes.insert(bytes.begin() + 100, std::byte{42});
  const auto after = ends_of(bytes);
  std::size_t same = 0;
  for (const std::size_t end : after) same += static_cast<std::size_t>(std::count(before.begin(), before.end(), end));
  EXPECT_GE(same + 8, after.size());
}

TEST(Chunker, TheStreamsEndEndsAChunk) {
  const Chunker chunker({});
  EXPECT_EQ(chunker.next_cut({}), 0U);
  EXPECT_EQ(chunker.next_cut(Bytes(1)), 1U);
  EXPECT_EQ(chunker.next_cut(Bytes(16384)), 16384U);
  EXPECT_EQ(chunker.next_cut(Bytes(1 << 20)), chunker.next_cut(Bytes(256 << 10)));
}

// Cuts are part of the format: other ones would make a store's chunks useless to the next backup.
TEST(Chunker, CutsOfTheFirstFormatVersionStay) {
  ChunkingParameters parameters;
  parameters.gear_seed = 0x0123456789abcdefULL;
  Bytes bytes(1 << 20);
  std::uint64_t state = 1;  // an LCG, spelled out: the standard's engines are too, but this needs no looking up
  for (std::byte& b : bytes) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    b = static_cast<std::byte>(state >> 56);
  }
  const std::vector<std::size_t> expected = {75355, 81391, 67136,  67849, 75106, 96146, 65322, 74876,
                                             72907, 79897, 100887, 67581, 27665, 78247, 18211};
  EXPECT_EQ(cut_all(Chunker(parameters), bytes), expected);
}

TEST(Chunker, RefusesImpossibleParameters) {
  for (const ChunkingParameters& parameters :
       {ChunkingParameters{0, 64, 64, 0}, ChunkingParameters{100, 64, 128, 0}, ChunkingParameters{64, 100, 128, 0},
        ChunkingParameters{64, 128, 64, 0}, ChunkingParameters{16, 32, 64, 0}, ChunkingParameters{64, 64, 2 << 20, 0}})
    EXPECT_THROW(parameters.validate(), Error);
}

TEST(AllZero, SeesEveryByte) {
  for (const std::size_t length : {0U, 1U, 15U, 16U, 17U, 100U, 4096U}) {
    Bytes bytes(length);
    EXPECT_TRUE(all_zero(bytes));
    for (std::size_t i = 0; i < length; ++i) {
      bytes[i] = std::byte{1};
      EXPECT_FALSE(all_zero(bytes)) << length << " " << i;
      bytes[i] = std::byte{0};
    }
  }
}

}  // namespace
}  // namespace vmferry
