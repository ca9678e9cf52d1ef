// The governor against simulated lines: a few threads compress frames into a queue that the line empties. Seconds per
// MiB and ratio of each level are zstd's, as measured over 17 MiB of programs, headers and archives in frames of 512
// KiB.
#include "engine/backup/compression_governor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <vector>

namespace vmferry::backup {
namespace {

constexpr double mebibyte = 1 << 20;
constexpr double modelled_frame_bytes = 512 * 1024;
constexpr double line_10mbit = 1.25e6, line_100mbit = 1.25e7, line_1gbit = 1.25e8, line_unlimited = 1e12;

struct LevelCost {
  double seconds_per_mib, ratio;
};
using Costs = std::array<LevelCost, 20>;
constexpr Costs programs = {{{0, 1},
                             {0.0026, 0.3771}, {0.0032, 0.3604}, {0.0044, 0.3481}, {0.0051, 0.3465}, {0.0076, 0.3365},
                             {0.0106, 0.3287}, {0.0122, 0.3272}, {0.0147, 0.3259}, {0.0150, 0.3259}, {0.0173, 0.3248},
                             {0.0236, 0.3244}, {0.0235, 0.3244}, {0.0513, 0.3243}, {0.0629, 0.3239}, {0.0723, 0.3240},
                             {0.1469, 0.3121}, {0.1712, 0.3047}, {0.2073, 0.2951}, {0.3286, 0.2945}}};

// Another kind of content: dearer steps than the governor expects, and hardly any gain.
Costs dense() {
  Costs costs = programs;
  for (std::size_t level = 1; level < costs.size(); ++level)
    costs[level] = {0.004 * (1 + 0.6 * static_cast<double>(level * level)), 0.95 - 0.001 * static_cast<double>(level)};
  return costs;
}

struct Simulated {
  double seconds = 0;
  std::vector<int> levels;    // of each frame
  std::vector<double> begun;  // when
};

struct Line {
  std::function<double(double)> bytes_per_second;  // at a time
  double queue_bytes = 2 * mebibyte;
  unsigned threads = 2;
  double source_bytes_per_second = 1e12;
};

Line steady(double bytes_per_second) {
  Line line;
  line.bytes_per_second = [bytes_per_second](double) { return bytes_per_second; };
  return line;
}

// A thread that finds the queue full waits until its frame fits.
Simulated simulate(const Line& line, const CompressionChoice& choice, double content_bytes,
                   const Costs& costs = programs) {
  struct Thread {
    double free = 0, begun = 0, compressed = 0, out = 0;
    int level = 0;  // 0: nothing left to do
  };
  CompressionGovernor governor(choice, line.threads);
  std::mt19937_64 random(42);
  std::uniform_real_distribution<double> noise(0.8, 1.2);
  Simulated run;
  double at = 0, queue_empty_at = 0;
  const auto begin = [&](Thread& thread) {
    thread.level = at < content_bytes ? governor.level() : 0;
    if (thread.level == 0) return;
    const LevelCost& cost = costs[static_cast<std::size_t>(thread.level)];
    thread.begun = std::max(thread.free, at / line.source_bytes_per_second);
    thread.compressed = thread.begun + cost.seconds_per_mib * modelled_frame_bytes / mebibyte * noise(random);
    thread.out = modelled_frame_bytes * std::min(1.0, cost.ratio * noise(random));
    run.levels.push_back(thread.level);
    run.begun.push_back(thread.begun);
    at += modelled_frame_bytes;
  };
  std::vector<Thread> threads(line.threads);
  for (Thread& thread : threads) begin(thread);
  while (true) {
    Thread* next = nullptr;
    for (Thread& thread : threads)
      if (thread.level != 0 && (next == nullptr || thread.compressed < next->compressed)) next = &thread;
    if (next == nullptr) break;
    const double rate = line.bytes_per_second(next->compressed);
    const double sent = std::max(next->compressed, queue_empty_at + (next->out - line.queue_bytes) / rate);
    queue_empty_at = std::max(queue_empty_at, sent) + next->out / rate;
    const auto us = [](double seconds) { return static_cast<std::uint64_t>(seconds * 1e6); };
    governor.sent({next->level, static_cast<std::uint64_t>(modelled_frame_bytes), static_cast<std::uint64_t>(next->out),
                   us(next->compressed - next->begun), us(sent - next->compressed), us(next->begun - next->free)});
    next->free = sent;
    begin(*next);
  }
  run.seconds = queue_empty_at;
  return run;
}

Simulated best_fixed(const Line& line, double content_bytes, const Costs& costs = programs) {
  Simulated best;
  for (int level = 1; level <= 19; ++level) {
    Simulated run = simulate(line, {false, level}, content_bytes, costs);
    if (level == 1 || run.seconds < best.seconds) best = std::move(run);
  }
  return best;
}

constexpr CompressionChoice automatic{true, 3};

void expect_near_the_best(const Line& line, double content_bytes, const Costs& costs = programs) {
  const Simulated best = best_fixed(line, content_bytes, costs);
  const Simulated run = simulate(line, automatic, content_bytes, costs);
  EXPECT_LE(run.seconds, best.seconds * 1.10) << "best level " << best.levels.back() << ": " << best.seconds << " s";
  if (std::getenv("VMFERRY_PRINT") != nullptr)
    std::printf("  best %2d: %7.2f s; auto %7.2f s, ends at %d\n", best.levels.back(), best.seconds, run.seconds,
                run.levels.back());
}

TEST(CompressionGovernorTest, ComesNearTheBestFixedLevelOnEveryLine) {
  for (const unsigned threads : {1u, 2u, 8u}) {
    for (const auto& [rate, content] : {std::pair{line_10mbit, 256 * mebibyte}, {line_100mbit, 1024 * mebibyte},
                                        {line_1gbit, 8192 * mebibyte}, {line_unlimited, 16384 * mebibyte}}) {
      SCOPED_TRACE(testing::Message() << threads << " threads, " << rate << " bytes/s");
      Line line = steady(rate);
      line.threads = threads;
      expect_near_the_best(line, content * std::max(1.0, threads / 2.0));
    }
  }
}

TEST(CompressionGovernorTest, ComesNearTheBestWithContentThatIsNotAsItExpects) {
  for (const double rate : {line_10mbit, line_100mbit, line_1gbit, line_unlimited}) {
    SCOPED_TRACE(rate);
    expect_near_the_best(steady(rate), rate == line_10mbit ? 256 * mebibyte : 4096 * mebibyte, dense());
  }
}

TEST(CompressionGovernorTest, ASlowLineGetsTheStrongestAndAFastOneTheWeakest) {
  EXPECT_EQ(simulate(steady(line_10mbit), automatic, 256 * mebibyte).levels.back(), 19);
  EXPECT_EQ(simulate(steady(line_unlimited), automatic, 1024 * mebibyte).levels.back(), 1);
}

TEST(CompressionGovernorTest, SettlesAndThenSeldomMoves) {
  for (const double rate : {line_10mbit, 4 * line_10mbit, line_100mbit, 3 * line_100mbit, line_1gbit}) {
    const Simulated run = simulate(steady(rate), automatic, 2048 * mebibyte);
    int changes = 0;
    for (std::size_t i = run.levels.size() / 2; i < run.levels.size(); ++i)
      changes += run.levels[i] != run.levels[i - 1] ? 1 : 0;
    // A try at a stronger one costs two changes, and tries become rarer.
    EXPECT_LE(changes, 2 + run.seconds / 2 / 5) << rate << ": " << run.seconds << " s";
  }
}

TEST(CompressionGovernorTest, FollowsALineThatChanges) {
  Line line = steady(line_10mbit);
  line.bytes_per_second = [](double at) { return at < 30 ? line_10mbit : at < 40 ? line_1gbit : line_10mbit; };
  line.queue_bytes = mebibyte / 4;
  const Simulated run = simulate(line, automatic, 3072 * mebibyte);
  double fell_at = 0, rose_at = 0;
  for (std::size_t i = 0; i < run.levels.size(); ++i) {
    if (fell_at == 0 && run.begun[i] > 30 && run.levels[i] <= 5) fell_at = run.begun[i];
    if (rose_at == 0 && run.begun[i] > 40 && run.levels[i] >= 16) rose_at = run.begun[i];
  }
  EXPECT_GT(fell_at, 30);
  EXPECT_LT(fell_at, 35);
  EXPECT_GT(rose_at, 40);
  EXPECT_LT(rose_at, 46);
}

TEST(CompressionGovernorTest, ASlowSourceIsNoReasonToCompressLess) {
  Line line = steady(line_unlimited);
  line.source_bytes_per_second = 50 * mebibyte;
  EXPECT_EQ(simulate(line, automatic, 1024 * mebibyte).levels.back(), 3);
}

TEST(CompressionGovernorTest, ReactsWithinAboutTwoSeconds) {
  const Simulated run = simulate(steady(line_unlimited), automatic, 1024 * mebibyte);
  const auto reached = std::find(run.levels.begin(), run.levels.end(), 1) - run.levels.begin();
  EXPECT_LE(static_cast<double>(reached) * 0.5 * programs[3].seconds_per_mib / 2, 2.0);
}

TEST(CompressionGovernorTest, AFixedLevelStays) {
  for (const int level : {1, 7, 19}) {
    const Simulated run = simulate(steady(line_10mbit), {false, level}, 64 * mebibyte);
    EXPECT_EQ(*std::min_element(run.levels.begin(), run.levels.end()), level);
    EXPECT_EQ(*std::max_element(run.levels.begin(), run.levels.end()), level);
  }
  EXPECT_EQ(CompressionGovernor({false, 99}, 1).level(), 19);
}

TEST(CompressionGovernorTest, TimesThatCannotBeMakeNothingOfIt) {
  CompressionGovernor governor(automatic, 1);
  for (int i = 0; i < 1000; ++i)
    governor.sent({governor.level(), 0, 0, i % 2 == 0 ? 0u : 500'000u, i % 3 == 0 ? 500'000u : 0u, 0});
  EXPECT_GE(governor.level(), 1);
  EXPECT_LE(governor.level(), 19);
}

}  // namespace
}  // namespace vmferry::backup
