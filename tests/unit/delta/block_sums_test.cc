#include "protocol/delta/block_sums.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include <algorithm>

#include "tests/support/content.h"
#include "tests/unit/delta/librsync_judge.h"

namespace vmferry::delta {
namespace {

constexpr std::size_t librsync_header_bytes = 12;

// Blocks as disks have them: noise, text, zeros, and a block of 0xff (the largest byte values in every lane).
Bytes mixed_content(std::size_t bytes) {
  Bytes content = test::random_bytes(1, bytes);
  const Bytes text = test::text_bytes(2, bytes / 4);
  std::copy(text.begin(), text.end(), content.begin());
  std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(bytes / 4), bytes / 8, std::byte{0});
  std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(bytes / 2), bytes / 8, std::byte{0xff});
  return content;
}

class EverySummer : public testing::TestWithParam<BlockSummer> {};

TEST_P(EverySummer, MakesTheBytesOfLibrsyncsSignature) {
  for (const std::uint32_t block : {64U, 127U, 128U, 129U, 500U, 512U, 1000U, 1024U, 4096U, 65536U}) {
    // Every number of lanes that can be left over.
    for (std::size_t blocks : {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 17, 33}) {
      const Bytes content = mixed_content(blocks * block);
      for (const std::size_t strong : {4U, 6U, 31U, 32U}) {
        Bytes ours;
        GetParam().append(content, block, strong, ours);
        const Bytes theirs = test::librsync_signature(content, block, strong);
        ASSERT_EQ(to_hex(ours), to_hex(ByteView(theirs).subspan(librsync_header_bytes)))
            << blocks << " blocks of " << block << ", strong " << strong;
      }
    }
  }
}

TEST_P(EverySummer, MakesSodiumsBlake2b) {
  for (const std::uint32_t block : {1U, 3U, 64U, 128U, 300U, 512U, 1024U, 65536U}) {
    const Bytes content = mixed_content(block * std::size_t{11} + block / 2);
    Bytes entries;
    GetParam().append(content, block, 32, entries);
    ASSERT_EQ(entries.size(), 11U * 36);
    for (std::size_t i = 0; i < 11; ++i) {
      StrongSum expected;
      crypto_generichash(reinterpret_cast<unsigned char*>(expected.data()), expected.size(),
                         reinterpret_cast<const unsigned char*>(content.data() + i * block), block, nullptr, 0);
      ASSERT_EQ(to_hex(ByteView(entries).subspan(i * 36 + 4, 32)), to_hex(expected)) << i << " of " << block;
    }
  }
}

TEST_P(EverySummer, AppendsAndLeavesOutWhatIsNoWholeBlock) {
  Bytes entries = {std::byte{7}};
  GetParam().append(Bytes(511), 512, 6, entries);
  EXPECT_EQ(entries, (Bytes{std::byte{7}}));
  GetParam().append(Bytes(1023), 512, 6, entries);
  EXPECT_EQ(entries.size(), 11U);
  EXPECT_EQ(entries[0], std::byte{7});
}

INSTANTIATE_TEST_SUITE_P(Sums, EverySummer, testing::ValuesIn(block_summers()),
                         [](const auto& summer) { return std::string(summer.param.name); });

TEST(BlockSums, OneBlockIsSummedAsManyAre) {
  const Bytes content = mixed_content(1000);
  Bytes entries;
  append_block_sums(content, 1000, 32, entries);
  ByteWriter expected;
  const std::uint32_t weak = weak_sum(content);
  for (int shift = 24; shift >= 0; shift -= 8) expected.u8(static_cast<std::uint8_t>(weak >> shift & 0xff));
  expected.bytes(strong_sum(content));
  EXPECT_EQ(to_hex(entries), to_hex(expected.view()));
}

// RFC 7693 has no vector for 32 bytes; this is BLAKE2b-256 of nothing as every implementation has it.
TEST(BlockSums, StrongSumOfNothing) {
  EXPECT_EQ(to_hex(strong_sum({})), "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
  EXPECT_EQ(weak_sum({}), 1U);
}

TEST(BlockSums, RefusesSumsThatDoNotExist) {
  Bytes entries;
  EXPECT_THROW(append_block_sums(Bytes(10), 0, 6, entries), std::logic_error);
  EXPECT_THROW(append_block_sums(Bytes(10), 5, 0, entries), std::logic_error);
  EXPECT_THROW(append_block_sums(Bytes(10), 5, 33, entries), std::logic_error);
}

}  // namespace
}  // namespace vmferry::delta
