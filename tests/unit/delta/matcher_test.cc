#include "protocol/delta/matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "protocol/delta/sum_kernel.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/unit/delta/basis.h"
#include "tests/unit/delta/librsync_judge.h"

namespace vmferry::delta {
namespace {

using test::Basis;
using test::coarse;
using test::join;
using test::match;

// What holds for any match: ascending, disjoint, joined, in range, and true.
void expect_right(ByteView content, const Basis& basis, const std::vector<Copy>& copies) {
  std::size_t done = 0;
  for (std::size_t i = 0; i < copies.size(); ++i) {
    const Copy& copy = copies[i];
    ASSERT_GE(copy.at, done);
    ASSERT_GT(copy.length, 0U);
    ASSERT_LE(std::size_t{copy.at} + copy.length, content.size());
    ASSERT_LE(std::size_t{copy.from} + copy.length, basis.content.size());
    ASSERT_TRUE(std::ranges::equal(content.subspan(copy.at, copy.length),
                                   ByteView(basis.content).subspan(copy.from, copy.length)));
    const Copy before = i == 0 ? Copy{~0U, 0, 0} : copies[i - 1];
    ASSERT_FALSE(before.at + before.length == copy.at && before.from + before.length == copy.from);
    done = std::size_t{copy.at} + copy.length;
  }
  EXPECT_EQ(test::librsync_patch(basis.content, to_librsync_delta(content, copies)), Bytes(content.begin(), content.end()));
}

std::size_t copied(const std::vector<Copy>& copies) {
  std::size_t sum = 0;
  for (const Copy& copy : copies) sum += copy.length;
  return sum;
}

TEST(Matcher, IdenticalContentIsOneCopy) {
  const Bytes content = test::random_bytes(1, 200 * 512);
  for (const auto expected : {std::optional<std::int64_t>(0), std::optional<std::int64_t>()}) {
    Basis basis(coarse);
    basis.add(content, expected);
    EXPECT_EQ(match(content, basis), (std::vector<Copy>{{0, 0, 200 * 512}}));
  }
}

TEST(Matcher, AnInsertedByteCostsLessThanTwoBlocks) {
  const Bytes old = test::random_bytes(2, 200 * 512);
  const Bytes content = join({ByteView(old).first(50000), as_bytes("x"), ByteView(old).subspan(50000)});
  Basis basis(coarse);
  basis.add(old, 0);
  const auto copies = match(content, basis);
  expect_right(content, basis, copies);
  EXPECT_EQ(copies.size(), 2U);
  EXPECT_GT(copied(copies), content.size() - 2 * 512);
}

TEST(Matcher, PagesThatChangedInPlaceAreTheOnlyLiterals) {
  const Bytes old = test::random_bytes(3, 1 << 20);
  Bytes content = old;
  for (std::size_t page = 3; page < 256; page += 20) {
    const Bytes fresh = test::random_bytes(1000 + page, 4096);
    std::ranges::copy(fresh, content.begin() + static_cast<std::ptrdiff_t>(page * 4096));
  }
  Basis basis(coarse);
  basis.add(old, 0);
  const auto copies = match(content, basis);
  expect_right(content, basis, copies);
  EXPECT_EQ(copied(copies), content.size() - 13 * 4096);
}

TEST(Matcher, PartsMayLieOutsideAndOverEachOther) {
  const Bytes content = test::random_bytes(4, 20000);
  for (const std::int64_t shift : {-100000LL, -5120LL, -5119LL, -511LL, -1LL, 0LL, 300LL, 19999LL, 20000LL, 1LL << 62, -(1LL << 62)}) {
    // A part that is right where it is expected: junk where it sticks out.
    Bytes chunk = test::random_bytes(5, 10240);
    for (std::int64_t i = 0; i < 10240; ++i)
      if (shift > -20000 && shift < 30000 && shift + i >= 0 && shift + i < 20000)
        chunk[static_cast<std::size_t>(i)] = content[static_cast<std::size_t>(shift + i)];
    Basis basis(coarse);
    basis.add(chunk, shift);
    basis.add(ByteView(content).first(10000), 0);
    basis.add(ByteView(content).subspan(7000, 9000), 7000);
    const auto copies = match(content, basis);
    expect_right(content, basis, copies);
    EXPECT_GE(copied(copies), 15704U) << shift;
  }
}

TEST(Matcher, PartsOfDifferentBlockLengthsWorkTogether) {
  const Bytes a = test::random_bytes(6, 30000);
  const Bytes b = test::random_bytes(7, 30000);
  const Bytes c = test::random_bytes(8, 30000);
  Basis basis(coarse);
  basis.add(a, std::nullopt, {1024, 8});
  basis.add(b, 0, {64, 4});
  basis.add(c, std::nullopt, {777, 32});
  const Bytes content = join({b, as_bytes("between"), c, a});
  const auto copies = match(content, basis);
  expect_right(content, basis, copies);
  EXPECT_GT(copied(copies), content.size() - 64 - 777 - 1024);
}

TEST(Matcher, OfEqualBlocksTheOneThatContinuesTheLastCopyIsTaken) {
  const Bytes repeated(512, std::byte{0x11});
  const Bytes before = test::random_bytes(9, 2048);
  const Bytes after = test::random_bytes(10, 2048);
  Basis basis(coarse);
  basis.add(join({repeated, after, before, repeated, after}), std::nullopt);
  const Bytes content = join({before, repeated, after});
  EXPECT_EQ(match(content, basis), (std::vector<Copy>{{0, 512 + 2048, 2048 + 512 + 2048}}));
}

TEST(Matcher, FindsAtLeastWhatLibrsyncFinds) {
  test::Random random(11);
  for (int round = 0; round < 20; ++round) {
    const Bytes old = test::random_bytes(random.next(), 100 * 512);
    Bytes content;
    while (content.size() < 60000) {
      const std::size_t from = random.below(old.size() - 9000);
      const ByteView piece = ByteView(old).subspan(from, random.size_between(1, 9000));
      content.insert(content.end(), piece.begin(), piece.end());
      const Bytes fresh = test::random_bytes(random.next(), random.below(300));
      content.insert(content.end(), fresh.begin(), fresh.end());
    }
    Basis basis(coarse);
    basis.add(old, std::nullopt, {512, 12});
    const auto copies = match(content, basis);
    expect_right(content, basis, copies);
    const Bytes theirs = test::librsync_delta(test::librsync_signature(old, 512, 12), content);
    EXPECT_LE(to_librsync_delta(content, copies).size(), theirs.size() + 16) << round;
  }
}

// Each of these took minutes if a position tried every candidate, or every position a strong sum.
TEST(Matcher, ContentMadeToBeSlowIsNot) {
  const Bytes zeros(limits::delta_content_max);
  Bytes period(limits::delta_content_max);
  for (std::size_t i = 0; i < period.size(); ++i) period[i] = static_cast<std::byte>(i % 3);
  // Every weak sum is right and every strong one wrong: a signature that lies.
  Bytes lying = make_signature(Bytes(limits::chunk_size_max), {64, 4});
  for (std::size_t entry = 12; entry < lying.size(); entry += 8) lying[entry + 4] ^= static_cast<std::byte>(1 + entry % 251);
  const auto started = std::chrono::steady_clock::now();
  for (const Bytes* content : std::initializer_list<const Bytes*>{&zeros, &period}) {
    Basis basis(coarse);
    basis.add(ByteView(*content).subspan(1, limits::chunk_size_max), std::nullopt, {64, 6});
    basis.add(Bytes(512), std::nullopt, {512, 6});
    expect_right(*content, basis, match(*content, basis));
  }
  const BasisPart liar{parse_signature(lying), std::nullopt};
  Matcher matcher;
  EXPECT_TRUE(matcher.match(zeros, std::span(&liar, 1)).empty());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  EXPECT_LT(took.count(), 5);  // 0.1 s as it is built for use; the sanitizers want more
}

TEST(Matcher, RefusesMoreThanADeltaMayHave) {
  Matcher matcher;
  EXPECT_THROW(matcher.match(Bytes(limits::delta_content_max + 1), {}), std::logic_error);
  const Bytes signature = make_signature(Bytes(limits::chunk_size_max), coarse);
  const std::vector<BasisPart> five(5, BasisPart{parse_signature(signature), std::nullopt});
  EXPECT_THROW(matcher.match({}, five), std::logic_error);
  EXPECT_TRUE(matcher.match({}, std::span(five).first(4)).empty());
}

// Every kernel's rolled sum is the sum of the block that the window has come to.
TEST(WeakRoll, IsTheSumOfEachWindow) {
  const Bytes content = test::random_bytes(12, 3000);
  std::vector<std::uint32_t> everything(32, ~0U);
  std::vector<const SumKernel*> kernels = {&portable_kernel()};
  if (avx2_kernel() != nullptr) kernels.push_back(avx2_kernel());
  if (avx512_kernel() != nullptr) kernels.push_back(avx512_kernel());
  for (const SumKernel* kernel : kernels) {
    for (const std::size_t block : {1U, 64U, 100U, 512U}) {
      WeakRoll roll;
      roll.set_block_bytes(block);
      roll.filter = everything.data();
      roll.filter_shift = 22;
      for (const std::size_t steps : {0U, 1U, 15U, 16U, 17U, 1000U}) {
        WeakHits hits;
        const std::uint32_t last = kernel->roll(roll, content.data(), weak_sum(ByteView(content).first(block)), steps, hits);
        EXPECT_EQ(last, weak_sum(ByteView(content).subspan(steps, block)));
        ASSERT_EQ(hits.count, steps) << kernel->name;
        for (std::size_t i = 0; i < steps; ++i) {
          ASSERT_EQ(hits.step[i], i + 1);
          ASSERT_EQ(hits.sum[i], weak_sum(ByteView(content).subspan(i + 1, block))) << kernel->name << " step " << i + 1;
        }
      }
      // Half of the filter: exactly those whose top bit says so.
      std::vector<std::uint32_t> half(32, 0);
      std::fill(half.begin() + 16, half.end(), ~0U);
      roll.filter = half.data();
      WeakHits hits;
      kernel->roll(roll, content.data(), weak_sum(ByteView(content).first(block)), 2000, hits);
      std::size_t expected = 0;
      for (std::size_t i = 1; i <= 2000; ++i) {
        if ((weak_sum(ByteView(content).subspan(i, block)) >> 31) == 0) continue;
        ASSERT_LT(expected, hits.count);
        ASSERT_EQ(hits.step[expected++], i);
      }
      EXPECT_EQ(expected, hits.count);
    }
  }
}

}  // namespace
}  // namespace vmferry::delta
