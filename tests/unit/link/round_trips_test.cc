// What a link waits for: nothing before its first question, and nothing after its last answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "protocol/error.h"
#include "tests/support/cutting_transport.h"
#include "tests/support/delayed_transport.h"
#include "tests/support/transport_text.h"
#include "tests/unit/link/switchboard.h"

namespace vmferry::link {
namespace {

using namespace std::chrono_literals;
using test::LinkTarget;
using test::receive;
using test::send;
using test::Switchboard;

LinkOptions early_options() {
  LinkOptions options;
  options.lines_max = 1;
  options.retry_min = 1ms;
  options.retry_max = 5ms;
  options.first_patience = 60s;
  options.begin_early = true;
  return options;
}

// Answers one question, then reads to the end; what it read. It ends what it sends once `may_end`.
std::future<std::string> answer_one(LinkTarget& target, std::size_t question_bytes, std::shared_future<void> may_end = {}) {
  return std::async(std::launch::async, [&target, question_bytes, may_end] {
    const auto link = target.accept();
    std::string all = receive(*link, question_bytes);
    send(*link, "answer");
    all += receive(*link, 1000);
    if (may_end.valid()) may_end.wait();
    link->finish_sending();
    return all;
  });
}

// Dials over a line of 50 ms each way, which takes until something was asked; the last one's client end can be asked for what
// it waited for.
struct LongLine {
  explicit LongLine(LinkTarget& target) : target_(target) {}
  Dial dial() {
    return [this] {
      asked.get_future().wait();
      test::DelayedPair pair = test::delayed_transport(50ms);
      client = pair.client.get();
      target_.server().take(std::move(pair.server), "client");
      return std::unique_ptr<Transport>(std::move(pair.client));
    };
  }
  std::promise<void> asked;
  std::atomic<test::DelayedEnd*> client = nullptr;

 private:
  LinkTarget& target_;
};

TEST(LinkRoundTrips, TheFirstAnswerTakesOneAndLeavingNone) {
  LinkTarget target;
  LongLine line(target);
  std::promise<void> left;
  auto server = answer_one(target, 8, left.get_future().share());
  auto link = open_link(line.dial(), early_options());
  send(*link, "question");
  line.asked.set_value();
  EXPECT_EQ(receive(*link, 6), "answer");
  EXPECT_EQ(line.client.load()->round_trips(), 1u);
  link->finish_sending();
  link->leave();
  EXPECT_EQ(receive(*link, 1), "");
  link.reset();
  left.set_value();
  EXPECT_EQ(server.get(), "question");  // to a clean end
}

TEST(LinkRoundTrips, WhatWasNotAcknowledgedIsWaitedForBeforeLeaving) {
  LinkTarget target;
  LongLine line(target);
  auto server = answer_one(target, 8);
  auto link = open_link(line.dial(), early_options());
  send(*link, "question");
  line.asked.set_value();
  EXPECT_EQ(receive(*link, 6), "answer");
  send(*link, std::string(900, 'x'));
  link->finish_sending();
  link->leave();
  link.reset();
  EXPECT_EQ(server.get(), "question" + std::string(900, 'x'));
}

TEST(LinkRoundTrips, WhatWentWithAHelloThatGotLostGoesWithTheNext) {
  LinkTarget target;
  Switchboard board;
  const Dial direct = target.dial();
  const auto tries = std::make_shared<std::atomic<int>>(0);
  board.answer([direct, tries]() -> std::unique_ptr<Transport> {
    switch ((*tries)++) {
      case 0: throw Error(ErrorCode::unreachable, "nobody answers");
      case 1: {  // the hello's welcome is lost, and the target has the link and what came with it
        test::CutPlan plan;
        plan.cut_at_received = 5;
        return std::make_unique<test::CuttingTransport>(direct(), plan);
      }
      default: return direct();
    }
  });
  auto server = answer_one(target, 8);
  auto link = open_link(board.dial(), early_options());
  send(*link, "question");
  EXPECT_EQ(receive(*link, 6), "answer");
  EXPECT_EQ(tries->load(), 3);
  link->finish_sending();
  link->leave();
  link.reset();
  EXPECT_EQ(server.get(), "question");
}

TEST(LinkRoundTrips, MoreThanMayGoWithTheHelloFollows) {
  LinkTarget target;
  auto server = answer_one(target, 100'000);
  auto link = open_link(target.dial(), early_options());
  const std::string question(100'000, 'q');
  send(*link, question);
  EXPECT_EQ(receive(*link, 6), "answer");
  link->finish_sending();
  link->leave();
  link.reset();
  EXPECT_EQ(server.get(), question);
}

TEST(LinkRoundTrips, WhatOpeningWouldHaveThrownTheFirstReceiveThrows) {
  LinkServerOptions full;
  full.links_max = 0;
  LinkTarget target(full);
  LinkOptions options = early_options();
  options.first_patience = 0ms;
  const auto link = open_link(target.dial(), options);
  try {
    send(*link, "question");
    receive(*link, 1);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::busy);
    EXPECT_THAT(error.what(), testing::HasSubstr("as many sessions as it may have"));
  }
}

}  // namespace
}  // namespace vmferry::link
