// Which former chunks a changed stretch of a stream may copy from.
#include "engine/backup/delta_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmferry::backup {
namespace {

using testing::ElementsAre;

ChunkId id_of(int number) {
  ChunkId id;
  std::memcpy(id.bytes.data(), &number, sizeof number);
  id.bytes[31] = std::byte{1};
  return id;
}

constexpr std::uint64_t chunk = 64 << 10;

// The former stream: chunks 0, 1, 2, ... of 64 KiB each.
class EvenCuts final : public FormerCuts {
 public:
  explicit EvenCuts(int chunks) : chunks_(chunks) {}
  const FormerCut* covering(std::uint64_t position) override {
    EXPECT_GE(position, last_) << "positions never go back";
    last_ = position;
    if (position >= chunk * static_cast<std::uint64_t>(chunks_)) return nullptr;
    cut_ = FormerCut{position / chunk * chunk, chunk, FormerCut::Kind::chunk, false, false, 0,
                     id_of(static_cast<int>(position / chunk))};
    return &cut_;
  }

 private:
  int chunks_;
  std::uint64_t last_ = 0;
  FormerCut cut_;
};

class DeltaRunTest : public testing::Test {
 protected:
  // A stream of these chunks of 64 KiB; 1000 and above are new. Returns the run of each that is not known.
  struct Seen {
    std::vector<bool> known;
    std::vector<RunPointer> runs;
  };
  Seen see(int former_chunks, const std::vector<int>& today) {
    EvenCuts former(former_chunks);
    FormerWindow window;
    RunBuilder runs;
    window.begin(&former, true);
    runs.begin(&window);
    Seen seen;
    std::uint64_t position = 0;
    for (const int number : today) {
      const FormerCut* there = window.covering(position);
      if (there != nullptr && there->offset == position && there->id == id_of(number)) {
        runs.same_place(position);
        seen.known.push_back(true);
        seen.runs.push_back(nullptr);
      } else {
        const auto placed = runs.place(id_of(number), position, chunk);
        seen.known.push_back(placed.known);
        seen.runs.push_back(placed.run);
      }
      position += chunk;
    }
    runs.begin(nullptr);
    return seen;
  }

  static std::vector<int> basis(const RunPointer& run) {
    std::vector<int> numbers;
    for (const DeltaRun::Part& part : run->basis) {
      int number;
      std::memcpy(&number, part.id.bytes.data(), sizeof number);
      numbers.push_back(number);
    }
    return numbers;
  }
};

TEST_F(DeltaRunTest, AChunkChangedInPlaceBuildsOnTheOneItReplaced) {
  const Seen seen = see(10, {0, 1, 2, 1000, 4, 5});
  EXPECT_THAT(seen.known, ElementsAre(true, true, true, false, true, true));
  EXPECT_THAT(basis(seen.runs[3]), ElementsAre(3));
  EXPECT_EQ(seen.runs[3]->basis[0].expected_at, static_cast<std::int64_t>(3 * chunk));
}

TEST_F(DeltaRunTest, NeighboursThatChangedShareARun) {
  const Seen seen = see(10, {0, 1000, 1001, 3, 4});
  EXPECT_EQ(seen.runs[1], seen.runs[2]);
  EXPECT_THAT(basis(seen.runs[1]), ElementsAre(1, 2));
}

TEST_F(DeltaRunTest, WhatComesAfterAnInsertionIsFoundAgainAndKnown) {
  const Seen seen = see(10, {0, 1000, 1001, 1002, 2, 3, 1003, 5, 6});
  EXPECT_THAT(seen.known, ElementsAre(true, false, false, false, true, true, false, true, true));
  EXPECT_THAT(basis(seen.runs[1]), ElementsAre(1));
  EXPECT_THAT(basis(seen.runs[6]), ElementsAre(4));
  EXPECT_EQ(seen.runs[6]->basis[0].expected_at, static_cast<std::int64_t>(6 * chunk)) << "two chunks further on";
}

TEST_F(DeltaRunTest, WhatComesAfterADeletionIsFoundByLookingAhead) {
  const Seen seen = see(100, {0, 1, 1000, 62, 63, 1001, 65});
  EXPECT_THAT(seen.known, ElementsAre(true, true, false, true, true, false, true));
  EXPECT_THAT(basis(seen.runs[5]), ElementsAre(64));
}

TEST_F(DeltaRunTest, ALongRunIsDividedAndEachPartNamesItsOwnStretch) {
  std::vector<int> today;
  for (int i = 0; i < 40; ++i) today.push_back(1000 + i);
  const Seen seen = see(40, today);
  EXPECT_NE(seen.runs[0], seen.runs[20]);
  for (std::size_t i = 0; i < 40; ++i) {
    EXPECT_LE(seen.runs[i]->basis.size(), 10u);
    EXPECT_THAT(basis(seen.runs[i]), testing::Contains(static_cast<int>(i))) << "at the same place";
  }
}

TEST_F(DeltaRunTest, WhatIsAppendedBuildsOnNothingButTheLastChunk) {
  const Seen seen = see(3, {0, 1, 1000, 1001});
  EXPECT_THAT(basis(seen.runs[2]), ElementsAre(2));
  const Seen exact = see(3, {0, 1, 2, 1000});
  EXPECT_TRUE(exact.runs[3]->basis.empty());
}

TEST_F(DeltaRunTest, AStreamWithoutAFormerVersionHasNoRuns) {
  RunBuilder runs;
  runs.begin(nullptr);
  const auto placed = runs.place(id_of(1), 0, chunk);
  EXPECT_FALSE(placed.known);
  EXPECT_EQ(placed.run, nullptr);
}

TEST_F(DeltaRunTest, AWindowForgetsWhatLiesFarBehindAndStaysBounded) {
  EvenCuts former(100'000);
  FormerWindow window;
  window.begin(&former, true);
  for (std::uint64_t i = 0; i < 90'000; ++i) ASSERT_NE(window.covering(i * chunk), nullptr);
  EXPECT_EQ(window.find(id_of(10), 0), std::nullopt);
  EXPECT_EQ(window.find(id_of(89'990), static_cast<std::int64_t>(90'000 * chunk)), 89'990 * chunk);
  EXPECT_EQ(window.find(id_of(90'100), static_cast<std::int64_t>(90'000 * chunk)), 90'100 * chunk) << "ahead";
}

}  // namespace
}  // namespace vmferry::backup
