// The loop starts with its first user and ends with its last, wherever that one is.
#include "protocol/transport/io_loop.h"

#include <gtest/gtest.h>

#include <future>

#include "protocol/transport/asio.h"

#include <boost/asio/steady_timer.hpp>

namespace vmferry {
namespace {

TEST(IoLoop, UsersShareOneThreadThatIsNoneOfTheirs) {
  const auto one = io_loop(), other = io_loop();
  EXPECT_EQ(one, other);
  EXPECT_FALSE(one->is_this_thread());
  std::promise<bool> there;
  asio::post(one->context(), [&] { there.set_value(one->is_this_thread()); });
  EXPECT_TRUE(there.get_future().get());
}

TEST(IoLoop, AfterItsLastUserTheNextOneGetsAFreshOne) {
  for (int round = 0; round < 20; ++round) {
    const auto loop = io_loop();
    std::promise<void> ran;
    asio::post(loop->context(), [&] { ran.set_value(); });
    ran.get_future().wait();
  }
}

TEST(IoLoop, AHandlerMayHoldTheLastShare) {
  auto loop = io_loop();
  const std::weak_ptr<IoLoop> seen = loop;
  std::promise<void> released;
  auto* context = &loop->context();
  asio::post(*context, [loop = std::move(loop), &released]() mutable {
    loop.reset();
    released.set_value();
  });
  released.get_future().wait();
  EXPECT_TRUE(seen.expired());
}

TEST(IoLoop, WhatIsPendingWhenTheLastUserLetsGoIsDroppedNotCalled) {
  bool called = false;
  const auto held = std::make_shared<int>(1);
  auto loop = io_loop();
  auto timer = std::make_shared<asio::steady_timer>(loop->context(), std::chrono::hours(1));
  timer->async_wait([&called, held, timer](const boost::system::error_code&) { called = true; });
  timer.reset();
  EXPECT_EQ(held.use_count(), 2);
  loop.reset();
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace vmferry
