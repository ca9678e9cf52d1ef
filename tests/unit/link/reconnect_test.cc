// Lines that break, targets that go away, and what the two users see of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "protocol/error.h"
#include "protocol/link/rate_limit.h"
#include "tests/support/content.h"
#include "tests/support/error_of.h"
#include "tests/support/transport_text.h"
#include "tests/unit/link/raw_line.h"
#include "tests/unit/link/switchboard.h"

namespace vmferry::link {
namespace {

using namespace std::chrono_literals;
using test::error_of;
using test::LinkTarget;
using test::receive;
using test::send;
using test::Switchboard;

// The sentences for a person, as they come.
class Notes {
 public:
  std::function<void(const std::string&)> taker() {
    return [this](const std::string& sentence) {
      const std::lock_guard lock(mutex_);
      all_.push_back(sentence);
      said_.notify_all();
    };
  }
  void wait_for(const std::string& part) {
    std::unique_lock lock(mutex_);
    said_.wait(lock, [&] {
      return std::ranges::any_of(all_, [&](const std::string& one) { return one.find(part) != std::string::npos; });
    });
  }

 private:
  std::mutex mutex_;
  std::condition_variable said_;
  std::vector<std::string> all_;
};

LinkOptions quick_options() {
  LinkOptions options;
  options.lines_max = 1;
  options.patience = 60s;
  options.retry_min = 1ms;
  options.retry_max = 5ms;
  return options;
}

class LinkReconnect : public testing::Test {
 protected:
  void open(const LinkOptions& options = quick_options(), const LinkServerOptions& server_options = {}) {
    target_ = std::make_unique<LinkTarget>(server_options);
    board_.answer(target_->dial());
    client_ = open_link(board_.dial(), options);
    server_ = target_->accept();
  }
  // Ends the target without a word to anybody, as a crash or a power cut does.
  void crash_target() {
    board_.answer([]() -> std::unique_ptr<Transport> { throw Error(ErrorCode::unreachable, "nobody answers"); });
    board_.cut_all();
    server_.reset();
    target_.reset();
  }

  Notes notes_;
  Switchboard board_;
  std::unique_ptr<LinkTarget> target_;
  std::unique_ptr<TargetLink> server_;
  std::unique_ptr<Transport> client_;
};

TEST_F(LinkReconnect, TheStreamGoesOnAfterTheLineBroke) {
  LinkOptions options = quick_options();
  options.note = notes_.taker();
  open(options);
  send(*client_, "before ");
  EXPECT_EQ(receive(*server_, 7), "before ");
  board_.cut_all();
  send(*client_, "after");
  send(*server_, "answer");
  EXPECT_EQ(receive(*server_, 5), "after");
  EXPECT_EQ(receive(*client_, 6), "answer");
  EXPECT_EQ(board_.dials(), 2u);
  notes_.wait_for("broke");
  notes_.wait_for("is back");
}

TEST_F(LinkReconnect, WhatBreaksAgainAndAgainWithoutALastingLineIsTriedUntilItHolds) {
  open();
  const auto direct = target_->dial();
  auto bad = std::make_shared<std::atomic<int>>(20);
  board_.answer([direct, bad]() -> std::unique_ptr<Transport> {
    test::CutPlan plan;
    const int left = (*bad)--;
    if (left > 0) plan.cut_at_received = static_cast<std::uint64_t>(left);  // within the welcome
    return std::make_unique<test::CuttingTransport>(direct(), plan);
  });
  board_.cut_all();
  send(*client_, "hello");
  EXPECT_EQ(receive(*server_, 5), "hello");
  EXPECT_GE(board_.dials(), 22u);
}

TEST_F(LinkReconnect, ATargetThatWasRestartedEndsTheLinkAtOnce) {
  open();
  send(*client_, "hello");
  EXPECT_EQ(receive(*server_, 5), "hello");
  crash_target();
  LinkTarget restarted;
  board_.answer(restarted.dial());
  const Error error = error_of([&] { receive(*client_, 1); });
  EXPECT_EQ(error.code(), ErrorCode::unreachable);
  EXPECT_NE(std::string(error.what()).find("restarted"), std::string::npos) << error.what();
  EXPECT_EQ(error_of([&] { send(*client_, "x"); }).code(), ErrorCode::unreachable);
  client_.reset();  // before the target that answers it
}

TEST_F(LinkReconnect, WhenPatienceIsOverBothDirectionsFailWithTheLastCause) {
  LinkOptions options = quick_options();
  options.patience = 50ms;
  open(options);
  crash_target();
  const Error error = error_of([&] { receive(*client_, 1); });
  EXPECT_EQ(error.code(), ErrorCode::unreachable);
  EXPECT_NE(std::string(error.what()).find("50 ms"), std::string::npos) << error.what();
  EXPECT_NE(std::string(error.what()).find("nobody answers"), std::string::npos) << error.what();
  EXPECT_EQ(error_of([&] { send(*client_, "x"); }).code(), ErrorCode::unreachable);
  EXPECT_GE(board_.dials(), 2u);
}

TEST_F(LinkReconnect, WithoutPatienceTheFirstBreakIsTheEnd) {
  LinkOptions options = quick_options();
  options.patience = 0ms;
  open(options);
  crash_target();
  EXPECT_EQ(error_of([&] { receive(*client_, 1); }).code(), ErrorCode::unreachable);
  EXPECT_EQ(board_.dials(), 1u);
}

TEST_F(LinkReconnect, ADialThatIsRefusedForGoodEndsTheLinkWithItsError) {
  open();
  board_.answer([]() -> std::unique_ptr<Transport> { throw Error(ErrorCode::refused, "another key", "target"); });
  board_.cut_all();
  const Error error = error_of([&] { receive(*client_, 1); });
  EXPECT_EQ(error.code(), ErrorCode::refused);
  EXPECT_STREQ(error.what(), "another key: target");
}

TEST_F(LinkReconnect, TheFirstDialIsTriedOnceUnlessThereIsPatience) {
  LinkTarget target;
  unsigned dials = 0;
  const auto third_time = [&, direct = target.dial()]() -> std::unique_ptr<Transport> {
    if (++dials % 3 != 0) throw Error(ErrorCode::unreachable, "nobody answers", "backup.example");
    return direct();
  };
  LinkOptions options = quick_options();
  EXPECT_STREQ(error_of([&] { open_link(third_time, options); }).what(), "nobody answers: backup.example");
  EXPECT_EQ(dials, 1u);
  dials = 0;
  options.first_patience = 60s;
  options.note = notes_.taker();
  EXPECT_NE(open_link(third_time, options), nullptr);
  EXPECT_EQ(dials, 3u);
  notes_.wait_for("nobody answers");
}

TEST_F(LinkReconnect, ALinkWhoseClientDoesNotComeBackBreaks) {
  LinkOptions options = quick_options();
  options.patience = 0ms;
  open(options, {.park = 20ms});
  board_.cut_all();
  EXPECT_EQ(error_of([&] { receive(*server_, 1); }).code(), ErrorCode::unreachable);
  EXPECT_EQ(error_of([&] { send(*server_, "x"); }).code(), ErrorCode::unreachable);
}

TEST_F(LinkReconnect, EndingAPeerEndsItsLinksWithASentenceAndNobodyElses) {
  open();
  auto other_client = open_link(target_->dial("other"), quick_options());
  const auto other = target_->accept();
  target_->server().end("client", "permission", "this client was revoked");
  for (Transport* const end : {client_.get(), static_cast<Transport*>(server_.get())}) {
    const Error error = error_of([&] { receive(*end, 1); });
    EXPECT_EQ(error.code(), ErrorCode::permission);
    EXPECT_STREQ(error.what(), "this client was revoked");
    EXPECT_EQ(error_of([&] { send(*end, "x"); }).code(), ErrorCode::permission);
  }
  send(*other_client, "still here");
  EXPECT_EQ(receive(*other, 10), "still here");
  target_->server().end_all("busy", "the target is going down");
  EXPECT_EQ(error_of([&] { receive(*other_client, 1); }).code(), ErrorCode::busy);
}

TEST_F(LinkReconnect, ALinkThatWasEndedWhileItsLineWasDownIsUnknownWhenTheClientIsBack) {
  open();
  board_.answer([]() -> std::unique_ptr<Transport> { throw Error(ErrorCode::unreachable, "nobody answers"); });
  board_.cut_all();
  board_.wait_for_dials(2);
  target_->server().end("client", "permission", "this client was revoked");
  board_.answer(target_->dial());
  EXPECT_EQ(error_of([&] { receive(*client_, 1); }).code(), ErrorCode::unreachable);
}

TEST_F(LinkReconnect, TheTargetsNotesReachThePerson) {
  LinkOptions options = quick_options();
  options.note = notes_.taker();
  open(options);
  server_->note("7 sessions are before this one");
  notes_.wait_for("7 sessions are before this one");
}

TEST_F(LinkReconnect, AServerThatStopsEndsItsLinks) {
  open();
  server_.reset();
  target_.reset();
  EXPECT_EQ(error_of([&] { receive(*client_, 1); }).code(), ErrorCode::unreachable);
}

// --- lines

TEST_F(LinkReconnect, FurtherLinesComeWhenEnoughHasPassedAndNoMoreThanTheTargetTakes) {
  LinkOptions options = quick_options();
  options.lines_max = 4;
  options.line_more_after_bytes = 100'000;
  open(options, {.lines_max = 3});
  send(*client_, std::string(90'000, 'x'));
  EXPECT_EQ(receive(*server_, 90'000).size(), 90'000u);
  EXPECT_EQ(board_.dials(), 1u);
  send(*server_, std::string(20'000, 'y'));  // either direction counts
  EXPECT_EQ(receive(*client_, 20'000).size(), 20'000u);
  board_.wait_for_dials(3);
  send(*client_, std::string(500'000, 'z'));
  EXPECT_EQ(receive(*server_, 500'000).size(), 500'000u);
  client_->finish_sending();
  server_->finish_sending();
  EXPECT_EQ(receive(*client_, 1) + receive(*server_, 1), "");
  client_.reset();
  EXPECT_EQ(board_.dials(), 3u);
}

// A line that says whether it is held back, and counts how often it was asked.
class Frank final : public Transport {
 public:
  struct Answer {
    std::atomic<bool> held_back = false;
    std::atomic<unsigned> asked = 0;
  };
  Frank(std::unique_ptr<Transport> line, std::shared_ptr<Answer> answer)
      : line_(std::move(line)), answer_(std::move(answer)) {}
  void send(std::span<const ByteView> parts) override { line_->send(parts); }
  std::size_t receive(std::span<std::byte> into) override { return line_->receive(into); }
  void finish_sending() override { line_->finish_sending(); }
  void abort() noexcept override { line_->abort(); }
  TransportCounts counts() const noexcept override { return line_->counts(); }
  bool is_held_back() noexcept override {
    ++answer_->asked;
    answer_->asked.notify_all();
    return answer_->held_back;
  }

 private:
  const std::unique_ptr<Transport> line_;
  const std::shared_ptr<Answer> answer_;
};

TEST_F(LinkReconnect, AFullLineGetsNoCompany) {
  LinkOptions options = quick_options();
  options.lines_max = 2;
  options.line_more_after_bytes = 1000;
  target_ = std::make_unique<LinkTarget>();
  const auto answer = std::make_shared<Frank::Answer>();
  board_.answer([answer, direct = target_->dial()] { return std::make_unique<Frank>(direct(), answer); });
  client_ = open_link(board_.dial(), options);
  server_ = target_->accept();
  send(*client_, std::string(100'000, 'x'));
  EXPECT_EQ(receive(*server_, 100'000).size(), 100'000u);
  for (unsigned asked = 0; asked < 5; asked = answer->asked) answer->asked.wait(asked);
  EXPECT_EQ(board_.dials(), 1u);
  answer->held_back = true;
  board_.wait_for_dials(2);
}

TEST_F(LinkReconnect, ALineThatCannotBeHadDoesNotHurtTheOthers) {
  LinkOptions options = quick_options();
  options.lines_max = 2;
  options.line_more_after_bytes = 10;
  open(options);
  board_.answer([]() -> std::unique_ptr<Transport> { throw Error(ErrorCode::permission, "no more channels"); });
  send(*client_, "0123456789");
  EXPECT_EQ(receive(*server_, 10), "0123456789");
  board_.wait_for_dials(3);
  send(*server_, "answer");
  EXPECT_EQ(receive(*client_, 6), "answer");
}

// --- lines that fall silent

TEST_F(LinkReconnect, ALineOnWhichNothingIsHeardIsReplaced) {
  const auto graveyard = std::make_shared<test::Graveyard>();
  LinkOptions options = quick_options();
  options.limits.ping_every = 20ms;
  options.limits.dead_after = 100ms;
  options.note = notes_.taker();
  LinkServerOptions server_options;  // which would wait for long: the new line tells it
  server_options.limits.dead_after = 600s;
  target_ = std::make_unique<LinkTarget>(server_options);
  const auto direct = target_->dial();
  board_.answer([direct, graveyard] {
    return std::make_unique<test::CuttingTransport>(
        direct(), test::CutPlan{.stall_at_received = 200, .graveyard = graveyard});
  });
  client_ = open_link(board_.dial(), options);
  server_ = target_->accept();
  board_.answer(direct);
  const std::string text(10'000, 'x');
  send(*server_, text);
  EXPECT_EQ(receive(*client_, text.size()), text);
  notes_.wait_for("nothing was heard");
}

TEST_F(LinkReconnect, AQuietLineLives) {
  LinkOptions options = quick_options();
  options.limits.ping_every = 600s;  // the target's dead_after counts for it
  options.limits.dead_after = 300ms;
  LinkServerOptions server_options;
  server_options.limits = options.limits;
  open(options, server_options);
  const auto count_of_pings = [](const Transport& end) { return end.counts().received_bytes / header_bytes; };
  while (count_of_pings(*client_) < 15 || count_of_pings(*server_) < 15) std::this_thread::yield();
  EXPECT_EQ(board_.dials(), 1u);
}

// It pauses for good, after the first 64 KiB; that is not silence.
TEST_F(LinkReconnect, ALineThatARateHoldsBackIsNotTakenForDead) {
  LinkOptions options = quick_options();
  options.limits.ping_every = 20ms;
  options.limits.dead_after = 300ms;
  options.receiving = std::make_shared<RateLimit>(1);
  open(options);
  send(*server_, "hello");
  EXPECT_EQ(receive(*client_, 5), "hello");
  std::thread sender([&] { error_of([&] { send(*server_, std::string(10 << 20, 'x')); }); });
  const std::uint64_t heard = server_->counts().received_bytes;
  while (server_->counts().received_bytes < heard + 30 * header_bytes) std::this_thread::yield();  // our pings
  EXPECT_EQ(board_.dials(), 1u);
  client_->abort();
  sender.join();
}

// --- the end

TEST_F(LinkReconnect, WhatWasSentAndFinishedArrivesThoughItsSenderIsGone) {
  open();
  const std::string text(3'000'000, 'x');
  std::thread leaving([&] {
    send(*server_, text);
    server_->finish_sending();
    server_.reset();
  });
  EXPECT_EQ(receive(*client_, text.size() + 1).size(), text.size());
  leaving.join();
  EXPECT_EQ(error_of([&] { send(*client_, text); }).code(), ErrorCode::unreachable);
  EXPECT_EQ(receive(*client_, 1), "") << "the end stays the end";
}

TEST_F(LinkReconnect, TheFinishIsSentAgainToo) {
  open();
  board_.answer([]() -> std::unique_ptr<Transport> { throw Error(ErrorCode::unreachable, "nobody answers"); });
  board_.cut_all();
  client_->finish_sending();
  server_->finish_sending();
  board_.wait_for_dials(2);
  board_.answer(target_->dial());
  EXPECT_EQ(receive(*client_, 1), "");
  EXPECT_EQ(receive(*server_, 1), "");
}

TEST_F(LinkReconnect, DroppingAnEndInTheMiddleTellsTheOther) {
  open();
  client_.reset();
  EXPECT_EQ(error_of([&] { receive(*server_, 1); }).code(), ErrorCode::unreachable);
}

TEST_F(LinkReconnect, AnEndThatIsDroppedWithoutALineDoesNotWaitForOne) {
  open();
  crash_target();
  client_.reset();
}

}  // namespace
}  // namespace vmferry::link
