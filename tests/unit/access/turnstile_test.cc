// A bounded number of backups at a time, in the order in which they came.
#include "target-server/receive/turnstile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <future>
#include <vector>

namespace vmferry::target_server {
namespace {

TEST(Turnstile, LetsSoManyInAndTheNextWhenOneIsDone) {
  Turnstile turnstile(2);
  Turnstile::Turn first = turnstile.take([](std::size_t) { FAIL() << "there is room"; });
  Turnstile::Turn second = turnstile.take([](std::size_t) { FAIL() << "there is room"; });
  std::promise<std::size_t> waits;
  auto third = std::async(std::launch::async, [&] {
    return turnstile.take([&](std::size_t before) { waits.set_value(before); });
  });
  EXPECT_EQ(waits.get_future().get(), 0u);
  first = {};
  third.get();
}

TEST(Turnstile, TellsHowManyAreBeforeAndCountsDown) {
  Turnstile turnstile(1);
  Turnstile::Turn first = turnstile.take([](std::size_t) {});
  std::promise<void> second_waits, third_waits;
  auto second = std::async(std::launch::async, [&] { return turnstile.take([&](std::size_t) { second_waits.set_value(); }); });
  second_waits.get_future().wait();
  std::vector<std::size_t> told;
  auto third = std::async(std::launch::async, [&] {
    return turnstile.take([&](std::size_t before) {
      told.push_back(before);
      if (told.size() == 1) third_waits.set_value();
    });
  });
  third_waits.get_future().wait();
  first = {};
  second.get();  // and its turn ends
  third.get();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.front(), 1u);
  EXPECT_TRUE(std::ranges::is_sorted(told, std::greater<>()));
}

TEST(Turnstile, WhoGivesUpWaitingHoldsNobodyBack) {
  Turnstile turnstile(1);
  Turnstile::Turn first = turnstile.take([](std::size_t) {});
  EXPECT_THROW(turnstile.take([](std::size_t) { throw std::runtime_error("gone"); }), std::runtime_error);
  std::promise<void> waits;
  auto next = std::async(std::launch::async, [&] { return turnstile.take([&](std::size_t) { waits.set_value(); }); });
  waits.get_future().wait();
  first = {};
  next.get();
}

}  // namespace
}  // namespace vmferry::target_server
