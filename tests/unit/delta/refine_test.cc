#include "protocol/delta/refine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "protocol/delta/matcher.h"
#include "tests/support/content.h"
#include "tests/unit/delta/basis.h"

namespace vmferry::delta {
namespace {

using test::Basis;
using test::coarse;
using test::fine;
using test::join;
using test::match;

Bytes with_flipped(Bytes bytes, std::initializer_list<std::size_t> places) {
  for (const std::size_t at : places) bytes[at] ^= std::byte{0x5a};
  return bytes;
}

std::vector<Copy> refined(ByteView content, const Basis& basis, std::vector<Copy> copies) {
  refine(content, basis.parts, copies);
  return copies;
}

void expect_bounds(ByteView content, const Basis& basis, const std::vector<Copy>& copies) {
  std::size_t done = 0;
  for (const Copy& copy : copies) {
    ASSERT_GE(copy.at, done);
    ASSERT_GT(copy.length, 0U);
    ASSERT_LE(std::size_t{copy.at} + copy.length, content.size());
    ASSERT_LE(std::size_t{copy.from} + copy.length, basis.content.size());
    done = std::size_t{copy.at} + copy.length;
  }
}

void expect_true(ByteView content, const Basis& basis, const std::vector<Copy>& copies) {
  expect_bounds(content, basis, copies);
  for (const Copy& copy : copies)
    EXPECT_TRUE(std::ranges::equal(content.subspan(copy.at, copy.length),
                                   ByteView(basis.content).subspan(copy.from, copy.length)))
        << copy.at;
}

// A block of these many bytes that is another one and has the same fine sum: 65,536 tries on average.
Bytes collision_with(ByteView block) {
  const std::uint16_t wanted = fine_sum(block);
  for (std::uint64_t seed = 1;; ++seed) {
    Bytes other = test::random_bytes(seed, block.size());
    if (fine_sum(other) == wanted && !std::ranges::equal(other, block)) return other;
  }
}

TEST(Refine, AnUpdateOfAFewBytesCostsItsFineBlock) {
  const Bytes old = test::random_bytes(1, 20 * 512);
  const Bytes content = with_flipped(old, {5 * 512 + 200, 5 * 512 + 203});
  Basis basis(fine);
  basis.add(old, 0);
  const std::vector<Copy> expected = {{0, 0, 5 * 512 + 192}, {5 * 512 + 256, 5 * 512 + 256, 15 * 512 - 256}};
  EXPECT_EQ(match(content, basis), expected);
}

TEST(Refine, UpdatesThatCrossFineBlocksCostBoth) {
  const Bytes old = test::random_bytes(2, 20 * 512);
  const Bytes content = with_flipped(old, {5 * 512 + 255, 5 * 512 + 256, 9 * 512, 11 * 512 - 1});
  Basis basis(fine);
  basis.add(old, 0);
  const auto copies = match(content, basis);
  expect_true(content, basis, copies);
  std::size_t literals = content.size();
  for (const Copy& copy : copies) literals -= copy.length;
  EXPECT_EQ(literals, 4 * 64U);
}

// The same when the file became longer before it: the distance is the neighbours', not the expected place's.
TEST(Refine, GoesByTheDistanceOfTheCopiesBesideTheGap) {
  const Bytes old = test::random_bytes(3, 20 * 512);
  const Bytes content = join({test::random_bytes(4, 1001), with_flipped(old, {5 * 512 + 200})});
  for (const auto expected : {std::optional<std::int64_t>(0), std::optional<std::int64_t>()}) {
    Basis basis(fine);
    basis.add(old, expected);
    const std::vector<Copy> copies = {{1001, 0, 5 * 512 + 192}, {1001 + 5 * 512 + 256, 5 * 512 + 256, 15 * 512 - 256}};
    EXPECT_EQ(match(content, basis), copies);
  }
}

TEST(Refine, AChunksShortTailIsCopiedToo) {
  const Bytes old = test::random_bytes(5, 10 * 512 + 3 * 64 + 7);
  Basis basis(fine);
  basis.add(old, 0);
  EXPECT_EQ(match(old, basis), (std::vector<Copy>{{0, 0, static_cast<std::uint32_t>(old.size())}}));
  // Its last seven bytes changed: only these are literal.
  const Bytes last = with_flipped(old, {old.size() - 1});
  EXPECT_EQ(match(last, basis), (std::vector<Copy>{{0, 0, 10 * 512 + 3 * 64}}));
  // A change before them leaves two fine blocks and the seven bytes, all of one run.
  const Bytes middle = with_flipped(old, {10 * 512 + 63});
  EXPECT_EQ(match(middle, basis), (std::vector<Copy>{{0, 0, 10 * 512}, {10 * 512 + 64, 10 * 512 + 64, 2 * 64 + 7}}));
  // Shorter and longer than it was.
  EXPECT_EQ(match(ByteView(old).first(10 * 512 + 130), basis), (std::vector<Copy>{{0, 0, 10 * 512 + 128}}));
  const Bytes longer = join({old, as_bytes("appended")});
  EXPECT_EQ(match(longer, basis), (std::vector<Copy>{{0, 0, static_cast<std::uint32_t>(old.size())}}));
}

TEST(Refine, AChunkShorterThanABlockIsFoundWhereItIsExpected) {
  const Bytes old = test::random_bytes(6, 300);
  Basis basis(fine);
  basis.add(old, 0);
  EXPECT_EQ(match(old, basis), (std::vector<Copy>{{0, 0, 300}}));
  EXPECT_EQ(match(with_flipped(old, {130}), basis), (std::vector<Copy>{{0, 0, 128}, {192, 192, 108}}));
  Basis tiny(fine);
  tiny.add(ByteView(old).first(5), 0);
  EXPECT_TRUE(match(ByteView(old).first(5), tiny).empty());  // one fine block alone
  Basis nothing(fine);
  nothing.add({}, 0);
  EXPECT_TRUE(match(old, nothing).empty());
}

TEST(Refine, OneFineBlockThatAgreesAloneIsNotBelieved) {
  const Bytes old = test::random_bytes(7, 512);
  Bytes content = test::random_bytes(8, 512);
  std::ranges::copy(collision_with(ByteView(old).subspan(192, 64)), content.begin() + 192);
  Basis basis(fine);
  basis.add(old, 0);
  EXPECT_TRUE(match(content, basis).empty());
  // Not even if it is right.
  std::ranges::copy(ByteView(old).subspan(192, 64), content.begin() + 192);
  EXPECT_TRUE(match(content, basis).empty());
}

TEST(Refine, TwoInARowAreBelievedAndTheIdIsTheJudge) {
  const Bytes old = test::random_bytes(9, 512);
  Bytes content = test::random_bytes(10, 512);
  Basis basis(fine);
  basis.add(old, 0);
  std::ranges::copy(ByteView(old).subspan(192, 128), content.begin() + 192);
  EXPECT_EQ(match(content, basis), (std::vector<Copy>{{192, 192, 128}}));
  std::ranges::copy(collision_with(ByteView(old).subspan(256, 64)), content.begin() + 256);
  EXPECT_EQ(match(content, basis), (std::vector<Copy>{{192, 192, 128}}));  // a false match, as 2^-32 of all are
}

TEST(Refine, OneBesideACopyIsBelievedOnlyAtItsDistance) {
  const Bytes old = test::random_bytes(11, 3 * 512);
  Bytes content = old;
  std::ranges::copy(test::random_bytes(12, 512), content.begin() + 512);
  const auto kept = [&](std::size_t at) {
    Bytes some = content;
    std::ranges::copy(ByteView(old).subspan(at, 64), some.begin() + static_cast<std::ptrdiff_t>(at));
    return some;
  };
  Basis basis(fine);
  basis.add(old, std::nullopt);
  EXPECT_EQ(match(kept(512), basis), (std::vector<Copy>{{0, 0, 576}, {1024, 1024, 512}}));
  EXPECT_EQ(match(kept(960), basis), (std::vector<Copy>{{0, 0, 512}, {960, 960, 576}}));
  EXPECT_EQ(match(kept(704), basis), (std::vector<Copy>{{0, 0, 512}, {1024, 1024, 512}}));

  // Another part says that the gap is its own: one block of it beside the copies is at another distance than they are.
  Basis both(fine);
  both.add(old, std::nullopt);
  const Bytes other = test::random_bytes(13, 512);
  both.add(other, 512);
  for (const std::size_t at : {0U, 448U}) {
    Bytes some = content;
    std::ranges::copy(ByteView(other).subspan(at, 64), some.begin() + 512 + static_cast<std::ptrdiff_t>(at));
    EXPECT_EQ(match(some, both), (std::vector<Copy>{{0, 0, 512}, {1024, 1024, 512}})) << at;
  }
  std::ranges::copy(ByteView(other).subspan(64, 128), content.begin() + 512 + 64);
  EXPECT_EQ(match(content, both), (std::vector<Copy>{{0, 0, 512}, {576, 3 * 512 + 64, 128}, {1024, 1024, 512}}));
}

// Where the copy before a gap says one thing and the copy after it another, each gets what is its own.
TEST(Refine, AGapIsFilledFromBothSides) {
  const Bytes a = test::random_bytes(14, 1024);
  const Bytes b = test::random_bytes(15, 1024);
  Basis basis(fine);
  const std::uint32_t a_from = basis.add(a, std::nullopt);
  const std::uint32_t b_from = basis.add(b, std::nullopt);
  const Bytes content = join({ByteView(a).first(640), as_bytes("something between"), ByteView(b).subspan(384)});
  const std::uint32_t b_at = 640 + 17;
  EXPECT_EQ(match(content, basis), (std::vector<Copy>{{0, a_from, 640}, {b_at, b_from + 384, 640}}));
}

TEST(Refine, PartsWithoutFineSumsStandBesidePartsWithThem) {
  const Bytes a = test::random_bytes(16, 1300);
  const Bytes b = test::random_bytes(17, 1300);
  const Bytes content = with_flipped(join({a, b}), {700, 1300 + 700});
  Basis without(fine);
  without.add(a, 0, coarse);
  EXPECT_EQ(refined(content, without, {{0, 0, 512}}), (std::vector<Copy>{{0, 0, 512}}));
  for (const bool fine_first : {true, false}) {
    Basis basis(fine);
    basis.add(a, 0, fine_first ? fine : coarse);  // coarse: its last 276 bytes are not in the basis
    const std::uint32_t b_from = basis.add(b, 1300, fine_first ? coarse : fine);
    EXPECT_EQ(b_from, fine_first ? 1300U : 1024U);
    const auto copies = match(content, basis);
    expect_true(content, basis, copies);
    if (fine_first) {
      EXPECT_EQ(copies, (std::vector<Copy>{{0, 0, 640}, {704, 704, 596 + 512}}));
    } else {
      EXPECT_EQ(copies, (std::vector<Copy>{{0, 0, 512}, {1300, b_from, 640}, {1300 + 704, b_from + 704, 596}}));
    }
  }
}

// A run does not jump over a part that has no fine sums.
TEST(Refine, RunsEndWhereFineSumsDo) {
  const Bytes old = test::random_bytes(18, 3 * 512);
  const Bytes content = with_flipped(old, {600, 1000, 511, 1100});
  Basis basis(fine);
  basis.add(ByteView(old).first(512), 0, fine);
  basis.add(ByteView(old).subspan(512, 512), 512, coarse);
  basis.add(ByteView(old).subspan(1024), 1024, fine);
  EXPECT_EQ(match(content, basis), (std::vector<Copy>{{0, 0, 448}, {1152, 1152, 384}}));
  const Bytes around = with_flipped(old, {100, 700, 1500});
  EXPECT_EQ(match(around, basis), (std::vector<Copy>{{128, 128, 384}, {1024, 1024, 448}}));
}

TEST(Refine, PartsMayHaveDifferentFineBlocks) {
  const Bytes old = test::random_bytes(19, 3000);
  const Bytes content = with_flipped(old, {200, 1100, 2100});
  Basis basis(fine);
  basis.add(ByteView(old).first(1000), 0, {512, 6, 64});
  basis.add(ByteView(old).subspan(1000, 1000), 1000, {1024, 6, 128});
  basis.add(ByteView(old).subspan(2000), 2000, {64, 4, 16});
  const std::vector<Copy> expected = {{0, 0, 192}, {256, 256, 744}, {1128, 1128, 968}, {2112, 2112, 888}};
  EXPECT_EQ(match(content, basis), expected);
}

// The second part's first fine block is at no multiple of the first's: a run goes on over the seam all the same.
TEST(Refine, ARunGoesOnFromPartToPart) {
  const Bytes old = test::random_bytes(20, 210);
  Basis basis(fine);
  basis.add(ByteView(old).first(77), 0);
  basis.add(ByteView(old).subspan(77), 77);
  EXPECT_EQ(match(old, basis), (std::vector<Copy>{{0, 0, 210}}));
}

TEST(Refine, PartsExpectedBeforeTheBeginningOrPastTheEnd) {
  const Bytes content = test::random_bytes(21, 1000);
  constexpr auto far = std::numeric_limits<std::int64_t>::max();
  const std::vector<std::int64_t> shifts = {-2000, -500, -499, -300, -64,  -1,       0,       1,
                                            700,   990,  1000, far,  -far, far / 2, -far - 1};
  for (const std::int64_t shift : shifts) {
    Bytes chunk = test::random_bytes(22, 500);
    std::int64_t right = 0;
    for (std::int64_t i = 0; i < 500; ++i)
      if (shift > -1000 && shift < 2000 && shift + i >= 0 && shift + i < 1000) {
        chunk[static_cast<std::size_t>(i)] = content[static_cast<std::size_t>(shift + i)];
        ++right;
      }
    Basis basis(fine);
    basis.add(chunk, shift);
    const auto copies = match(content, basis);
    expect_true(content, basis, copies);
    std::int64_t copied = 0;
    for (const Copy& copy : copies) copied += copy.length;
    // A fine block at each edge may stick out, and one alone is not believed.
    EXPECT_GE(copied, right - 2 * 64) << shift;
    EXPECT_LE(copied, right) << shift;
  }
}

// Whatever copies there are, true or not, and whatever the basis: they stay, and the new ones keep their bounds.
TEST(Refine, LeavesTheCopiesThatAreThereAndKeepsItsBounds) {
  test::Random random(23);
  std::size_t added = 0;
  for (int round = 0; round < 400; ++round) {
    const Bytes old = test::random_bytes(random.next(), random.size_between(1, 6000));
    Bytes content = old;
    for (std::uint64_t changes = random.below(6); changes != 0; --changes)
      content[random.below(content.size())] ^= std::byte{1};
    if (random.below(3) == 0) content.resize(random.size_between(1, 7000));
    Basis basis(fine);
    for (std::size_t at = 0; at < old.size();) {
      const std::size_t length = std::min<std::size_t>(old.size() - at, random.size_between(1, 2000));
      constexpr std::uint16_t fine_lengths[] = {0, 16, 64, 100, 4096};
      std::optional<std::int64_t> expected;
      if (random.below(2) == 0) expected = static_cast<std::int64_t>(at);
      if (random.below(4) == 0) expected = static_cast<std::int64_t>(random.below(20000)) - 10000;
      basis.add(ByteView(old).subspan(at, length), expected, {512, 6, fine_lengths[random.below(5)]});
      at += length;
    }
    std::vector<Copy> before;
    for (std::size_t at = random.below(300); at < content.size() && !basis.content.empty();) {
      const auto from = static_cast<std::uint32_t>(random.below(3) == 0 ? random.below(basis.content.size())
                                                                        : std::min(at, basis.content.size() - 1));
      const auto length = static_cast<std::uint32_t>(
          std::min<std::size_t>({content.size() - at, basis.content.size() - from, random.size_between(1, 1000)}));
      before.push_back({static_cast<std::uint32_t>(at), from, length});
      at += length + random.size_between(1, 1500);
    }
    const auto after = refined(content, basis, before);
    expect_bounds(content, basis, after);
    for (const Copy& copy : before)
      EXPECT_TRUE(std::ranges::any_of(after, [&](const Copy& whole) {
        return whole.at <= copy.at && whole.at + whole.length >= copy.at + copy.length &&
               copy.at - whole.at == copy.from - whole.from;
      })) << "round " << round << " at " << copy.at;
    std::size_t length_before = 0, length_after = 0;
    for (const Copy& copy : before) length_before += copy.length;
    for (const Copy& copy : after) length_after += copy.length;
    added += length_after - length_before;
  }
  EXPECT_GT(added, 40'000U);
}

TEST(Refine, OfNothingIsNothing) {
  Basis basis(fine);
  EXPECT_TRUE(refined({}, basis, {}).empty());
  basis.add(test::random_bytes(24, 1000), 0);
  EXPECT_TRUE(refined({}, basis, {}).empty());
  EXPECT_EQ(refined(Bytes(10), basis, {{0, 0, 10}}), (std::vector<Copy>{{0, 0, 10}}));
}

}  // namespace
}  // namespace vmferry::delta
