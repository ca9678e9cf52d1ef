#include "protocol/link/rate_limit.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "tests/support/link_pair.h"

namespace vmferry::link {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t bucket_bytes = 64 * 1024;

std::uint64_t allowed_since(Clock::time_point start, std::uint64_t rate) {
  return static_cast<std::uint64_t>(std::chrono::duration<double>(Clock::now() - start).count() *
                                    static_cast<double>(rate));
}

TEST(RateLimit, NoMorePassesThanTheBucketAndTheTimeAllow) {
  constexpr std::uint64_t rate = 2'000'000;
  const auto start = Clock::now();
  RateLimit limit(rate);
  std::uint64_t passed = 0;
  while (passed < 400'000) {
    ASSERT_TRUE(limit.take(10'000));
    passed += 10'000;
    EXPECT_LE(passed, bucket_bytes * 4 + 10'000 + allowed_since(start, rate));
  }
}

TEST(RateLimit, WithoutARateEverythingPasses) {
  RateLimit limit;
  EXPECT_TRUE(limit.take(~std::uint64_t{0} >> 1));
  EXPECT_EQ(limit.try_take(1 << 30), 0ns);
}

TEST(RateLimit, WhoeverWaitsGoesOnWhenTheRateIsRaised) {
  RateLimit limit(1);
  limit.charge(1'000'000);
  EXPECT_GT(limit.try_take(1), 0ns);
  auto waiting = std::async(std::launch::async, [&] { return limit.take(1); });
  limit.set(0);
  EXPECT_TRUE(waiting.get());
}

TEST(RateLimit, WhoeverWaitsGoesOnWhenItIsCancelled) {
  RateLimit limit(1);
  limit.charge(1'000'000);
  auto waiting = std::async(std::launch::async, [&] { return limit.take(1); });
  limit.cancel();
  EXPECT_FALSE(waiting.get());
  EXPECT_FALSE(limit.take(1));
}

TEST(RateLimit, PiecesAreSmallWhereTheRateIs) {
  EXPECT_EQ(RateLimit(1'000).piece_bytes(), 512u);
  EXPECT_EQ(RateLimit(200'000).piece_bytes(), 10'000u);
  EXPECT_EQ(RateLimit(100'000'000).piece_bytes(), 64u * 1024);
  EXPECT_EQ(RateLimit(0).piece_bytes(), 64u * 1024);
}

// A link with a limit on one of its directions: what has arrived is never ahead of what the rate allows.
void expect_limited(bool sending) {
  constexpr std::uint64_t rate = 1'000'000;
  constexpr std::size_t total = 300'000;
  LinkOptions options;
  options.lines_max = 2;
  options.line_more_after_bytes = 0;
  const auto start = Clock::now();
  (sending ? options.sending : options.receiving) = std::make_shared<RateLimit>(rate);
  test::LinkPair pair = test::link_pair(options, {}, 4096);
  Transport& from = sending ? *pair.client : static_cast<Transport&>(*pair.server);
  Transport& to = sending ? static_cast<Transport&>(*pair.server) : *pair.client;
  std::thread sender([&] {
    const Bytes content(total);
    const std::array<ByteView, 1> parts = {content};
    from.send(parts);
  });
  Bytes into(10'000);
  for (std::size_t received = 0; received < total;) {
    received += to.receive(into);
    // The bucket, and what each of two lines may overdraw it by.
    EXPECT_LE(received, 4 * bucket_bytes + allowed_since(start, rate));
  }
  sender.join();
}

TEST(RateLimit, ALinkSendsNoFaster) { expect_limited(true); }
TEST(RateLimit, ALinkReceivesNoFaster) { expect_limited(false); }

}  // namespace
}  // namespace vmferry::link
