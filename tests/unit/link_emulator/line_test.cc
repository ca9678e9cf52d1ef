// One direction of an emulated link, in a time of the test's own.
#include "bench/link/line.h"

#include <gtest/gtest.h>

namespace vmferry::bench {
namespace {

using namespace std::chrono_literals;

// A packet that the kernel did not leave to us to segment: as long on the line as this.
PacketBytes plain(std::size_t wire_bytes, int mark = 1) { return PacketBytes(10 + wire_bytes, std::byte(mark)); }

TEST(Line, DeliversAfterItsTimeOnTheLineAndTheDelay) {
  Line line({.rate_bits_per_s = 8e6, .delay = 40ms}, 1);
  line.accept(plain(1000), 0ms);  // 1 ms on the line
  line.accept(plain(1000), 0ms);
  EXPECT_EQ(line.next_arrival(), Time(41ms));
  EXPECT_FALSE(line.take_arrived(41ms - 1ns));
  EXPECT_TRUE(line.take_arrived(41ms));
  EXPECT_FALSE(line.take_arrived(41ms));
  EXPECT_TRUE(line.take_arrived(42ms));
  EXPECT_EQ(line.next_arrival(), std::nullopt);
}

TEST(Line, CountsAsBusyOnlyTheTimeThatHasPassed) {
  Line line({.rate_bits_per_s = 8e6}, 1);
  for (int i = 0; i < 10; ++i) line.accept(plain(1000), 0ms);
  EXPECT_EQ(line.counters(4ms).busy, Time(4ms));
  EXPECT_EQ(line.counters(100ms).busy, Time(10ms));
  EXPECT_EQ(line.counters(100ms).bytes, 10000U);
}

TEST(Line, DropsWhatTheQueueHasNoRoomFor) {
  Line line({.rate_bits_per_s = 8e6, .queue_bytes = 3000}, 1);
  for (int i = 0; i < 10; ++i) line.accept(plain(1000), 0ms);
  EXPECT_EQ(line.counters(0ms).packets, 3U);
  EXPECT_EQ(line.counters(0ms).dropped, 7U);
  line.accept(plain(1000), 1ms);  // one has left
  EXPECT_EQ(line.counters(1ms).packets, 4U);
  EXPECT_EQ(line.counters(1ms).queue_bytes_peak, 3000U);
}

TEST(Line, AStallPostponesWhatIsUnderWayAndWhatComes) {
  Line line({.rate_bits_per_s = 8e6, .delay = 10ms}, 1);
  line.accept(plain(1000, 1), 0ms);
  line.accept(plain(1000, 2), 0ms);
  line.stall(1s, 1500us);  // the first has left, the second is half on the line
  line.accept(plain(1000, 3), 500ms);
  EXPECT_FALSE(line.take_arrived(1011ms - 1ns));
  EXPECT_EQ(line.take_arrived(1011ms), plain(1000, 1));
  EXPECT_EQ(line.take_arrived(1012ms), plain(1000, 2));
  EXPECT_FALSE(line.take_arrived(1013ms - 1ns));
  EXPECT_EQ(line.take_arrived(1013ms), plain(1000, 3));
}

TEST(Line, JitterKeepsTheOrder) {
  Line line({.delay = 10ms, .jitter = 9ms}, 5);
  for (int i = 0; i < 100; ++i) line.accept(plain(100, i), i * 100us);
  Time before{};
  for (int i = 0; i < 100; ++i) {
    const Time at = *line.next_arrival();
    EXPECT_GE(at, before);
    EXPECT_GE(at, i * 100us + 1ms);
    EXPECT_LE(at, i * 100us + 19ms + 10ms);
    EXPECT_EQ(line.take_arrived(at), plain(100, i));
    before = at;
  }
}

TEST(Line, LosesTheShareThatWasAskedForAndTheSameOnesOfASeed) {
  const auto arrived = [](std::uint64_t seed) {
    Line line({.loss = 0.1}, seed);
    std::vector<int> marks;
    for (int i = 0; i < 2000; ++i) line.accept(plain(100, i % 251), 0ms);
    while (const auto packet = line.take_arrived(0ms)) marks.push_back(std::to_integer<int>(packet->back()));
    EXPECT_EQ(marks.size() + line.counters(0ms).lost, 2000U);
    return marks;
  };
  EXPECT_NEAR(static_cast<double>(arrived(1).size()), 1800, 60);
  EXPECT_EQ(arrived(1), arrived(1));
  EXPECT_NE(arrived(1), arrived(2));
  Line cut({.loss = 1}, 1);
  cut.accept(plain(100), 0ms);
  EXPECT_FALSE(cut.take_arrived(1s));
}

TEST(Line, ANewRateHoldsForWhatComesAfterIt) {
  Line line({.rate_bits_per_s = 8e6}, 1);
  line.accept(plain(1000), 0ms);
  line.reshape({.rate_bits_per_s = 8e5});
  line.accept(plain(1000), 0ms);
  EXPECT_EQ(line.next_arrival(), Time(1ms));
  EXPECT_TRUE(line.take_arrived(1ms));
  EXPECT_EQ(line.next_arrival(), Time(11ms));
}

}  // namespace
}  // namespace vmferry::bench
