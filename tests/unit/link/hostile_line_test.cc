// What a peer cannot do: whoever breaks the protocol ends its link, is told so, and has cost no more than a window.
#include <gtest/gtest.h>

#include <thread>

#include "protocol/error.h"
#include "tests/support/content.h"
#include "tests/unit/link/raw_line.h"

namespace vmferry::link {
namespace {

using namespace std::chrono_literals;
using test::bytes_of;
using test::data_record;
using test::LinkTarget;
using test::new_hello;
using test::RawLine;

constexpr std::size_t window_bytes = 256 * 1024;

class HostileLine : public testing::Test {
 protected:
  HostileLine() {
    line_.send(bytes_of(new_hello()));
    made_ = target_.accept();
    EXPECT_TRUE(line_.next(RecordType::welcome));
  }
  // The target's user, and we, are told that this was no link's record.
  void expect_the_end() {
    const auto told = line_.next(RecordType::abort);
    ASSERT_TRUE(told);
    EXPECT_EQ(parse_abort(told->payload).code(), ErrorCode::malformed);
    Bytes into(1);
    try {
      while (made_->receive(into) > 0) {
      }
      ADD_FAILURE() << "the link ended cleanly";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::malformed) << error.what();
    }
  }
  Bytes ack(std::uint64_t received, std::uint64_t limit) {
    Bytes bytes;
    put_ack(bytes, received, limit);
    return bytes;
  }
  Bytes finish(std::uint64_t position) {
    Bytes bytes;
    put_finish(bytes, position);
    return bytes;
  }

  LinkTarget target_{{.limits = {.window_bytes = window_bytes}}};
  std::unique_ptr<TargetLink> made_;
  RawLine line_{target_};  // is gone before made_ waits for its end
};

TEST_F(HostileLine, DataPastTheWindow) {
  line_.send(data_record(window_bytes - 1, as_bytes("ab")));
  expect_the_end();
}

TEST_F(HostileLine, DataAtAPositionThatWrapsAround) {
  line_.send(data_record(~std::uint64_t{0}, as_bytes("ab")));
  expect_the_end();
}

TEST_F(HostileLine, DataAcrossAPage) {
  line_.send(data_record(page_bytes - 1, as_bytes("ab")));
  expect_the_end();
}

TEST_F(HostileLine, DataWithoutData) {
  line_.send(data_record(0, {}));
  expect_the_end();
}

TEST_F(HostileLine, ARecordOfAGigabyte) {
  Bytes header;
  put_data_header(header, 0, 1 << 30);
  line_.send(header);
  expect_the_end();
}

TEST_F(HostileLine, AControlRecordOfAGigabyte) {
  Bytes header;
  put_data_header(header, 0, 1 << 30);
  header[0] = static_cast<std::byte>(RecordType::note);
  line_.send(header);
  expect_the_end();
}

TEST_F(HostileLine, AnUnknownRecord) {
  Bytes header;
  put_ping(header);
  header[0] = std::byte{99};
  line_.send(header);
  expect_the_end();
}

TEST_F(HostileLine, ReservedBits) {
  Bytes header;
  put_ping(header);
  header[1] = std::byte{1};
  line_.send(header);
  expect_the_end();
}

TEST_F(HostileLine, ASecondWelcome) {
  Bytes bytes;
  put_welcome(bytes, {.standing = {0, window_bytes, window_bytes, 20'000ms}});
  line_.send(bytes);
  expect_the_end();
}

TEST_F(HostileLine, AnAckOfWhatWasNeverSent) {
  line_.send(ack(1, 1));
  expect_the_end();
}

TEST_F(HostileLine, AnAckOfAFinishThatWasNeverSent) {
  const std::array<ByteView, 1> parts = {as_bytes("abc")};
  made_->send(parts);
  ASSERT_TRUE(line_.next(RecordType::data));
  line_.send(ack(4, 4));
  expect_the_end();
}

TEST_F(HostileLine, ALimitThatIsTakenBack) {
  line_.send(ack(0, 1 << 20));
  line_.send(ack(0, (1 << 20) - 1));
  expect_the_end();
}

TEST_F(HostileLine, AnAckThatIsTakenBack) {
  const std::array<ByteView, 1> parts = {as_bytes("abc")};
  made_->send(parts);
  ASSERT_TRUE(line_.next(RecordType::data));
  line_.send(ack(3, (1 << 20) + 3));
  line_.send(ack(2, (1 << 20) + 3));
  expect_the_end();
}

TEST_F(HostileLine, ALimitPastTheWindowThatTheHelloNamed) {
  line_.send(ack(0, (1 << 20) + 1));
  expect_the_end();
}

TEST_F(HostileLine, TwoFinishes) {
  line_.send(finish(10));
  line_.send(finish(11));
  expect_the_end();
}

TEST_F(HostileLine, AFinishBeforeDataThatWasSent) {
  line_.send(data_record(0, as_bytes("abcdef")));
  line_.send(finish(3));
  expect_the_end();
}

TEST_F(HostileLine, DataAfterTheFinish) {
  line_.send(finish(3));
  line_.send(data_record(0, as_bytes("abcdef")));
  expect_the_end();
}

TEST_F(HostileLine, AFinishPastTheWindow) {
  line_.send(finish(window_bytes + 1));
  expect_the_end();
}

// Every second byte: each is a piece to remember, and there may be so many.
TEST_F(HostileLine, APeerThatSendsTheStreamInCrumbsOutOfOrder) {
  Bytes crumbs;
  for (std::uint64_t i = 0; i <= records_unacknowledged_max; ++i) {
    const Bytes crumb = data_record(1 + 2 * i, as_bytes("x"));
    crumbs.insert(crumbs.end(), crumb.begin(), crumb.end());
  }
  line_.send(crumbs);
  expect_the_end();
}

TEST_F(HostileLine, ANoteThatIsTooLong) {
  Bytes header;
  put_data_header(header, 0, sentence_bytes_max + 1);
  header[0] = static_cast<std::byte>(RecordType::note);
  header.resize(header.size() + sentence_bytes_max + 1);
  line_.send(header);
  expect_the_end();
}

// What is sent twice, in part or whole, is as if it had been sent once.
TEST_F(HostileLine, DuplicatesAndOverlapsAreHarmless) {
  const ByteView text = as_bytes("the quick brown fox");
  line_.send(data_record(4, text.subspan(4, 5)));
  line_.send(data_record(10, text.subspan(10)));
  line_.send(data_record(2, text.subspan(2, 12)));
  line_.send(data_record(0, text.first(3)));
  line_.send(data_record(0, text));
  line_.send(finish(text.size()));
  line_.send(data_record(3, text.subspan(3)));
  line_.send(finish(text.size()));
  Bytes received(100);
  std::size_t have = 0;
  while (const std::size_t more = made_->receive(std::span(received).subspan(have))) have += more;
  EXPECT_EQ(as_text(ByteView(received).first(have)), as_text(text));
}

// Nobody reads: the peer gets no more room, and what it sent is all that is held.
TEST_F(HostileLine, APeerGetsNoMoreRoomThanTheWindowWhileNobodyReads) {
  const Bytes page = test::random_bytes(1, page_bytes);
  for (std::uint64_t at = 0; at < window_bytes; at += page_bytes) line_.send(data_record(at, page));
  std::uint64_t acknowledged = 0;
  while (acknowledged < window_bytes) {
    const auto record = line_.next(RecordType::ack);
    ASSERT_TRUE(record);
    acknowledged = record->header.number;
    EXPECT_LE(parse_ack_limit(record->payload), window_bytes);
  }
  line_.send(data_record(window_bytes, as_bytes("x")));
  expect_the_end();
}

// --- targets that a client cannot trust

Error opening(std::function<void(RawLine&)> target, std::chrono::milliseconds hello_timeout = 10'000ms) {
  auto [here, there] = memory_transport();
  RawLine line(std::move(there));
  LinkOptions options;
  options.limits.hello_timeout = hello_timeout;
  std::thread answering([&] { target(line); });
  Error error(ErrorCode::failed, "it was opened");
  try {
    open_link([&, dialed = std::make_shared<std::unique_ptr<Transport>>(std::move(here))] { return std::move(*dialed); },
              options);
  } catch (const Error& why) {
    error = why;
  }
  answering.join();
  return error;
}

TEST(HostileTarget, NoTargetOfALink) {
  EXPECT_EQ(opening([](RawLine& line) { line.send(as_bytes("HTTP/1.1 400 Bad Request\r\n\r\n")); }).code(),
            ErrorCode::malformed);
}

TEST(HostileTarget, AWelcomeThatCannotBe) {
  const auto welcomed = [](Welcome welcome) {
    return opening([welcome](RawLine& line) {
             Bytes bytes;
             put_welcome(bytes, welcome);
             line.send(bytes);
           })
        .code();
  };
  const Standing standing = {0, window_bytes, window_bytes, 20'000ms};
  EXPECT_EQ(welcomed({.standing = {1, window_bytes, window_bytes, 20'000ms}}), ErrorCode::malformed) << "nothing was sent";
  EXPECT_EQ(welcomed({.standing = {0, window_bytes + 1, window_bytes, 20'000ms}}), ErrorCode::malformed);
  EXPECT_EQ(welcomed({.standing = standing, .lines_max = 0}), ErrorCode::malformed);
  EXPECT_EQ(welcomed({.major = 2, .standing = standing}), ErrorCode::malformed);
}

TEST(HostileTarget, SilenceIsAnUnreachableTarget) {
  const auto listen = [](RawLine& line) {
    Bytes into(1000);
    try {
      while (line.transport().receive(into) > 0) {
      }
    } catch (const Error&) {  // the client gave up
    }
  };
  EXPECT_EQ(opening(listen, 50ms).code(), ErrorCode::unreachable);
}

TEST(HostileTarget, AnEndInsteadOfAnAnswerIsAnUnreachableTarget) {
  EXPECT_EQ(opening([](RawLine& line) { line.transport().finish_sending(); }).code(), ErrorCode::unreachable);
  EXPECT_EQ(opening([](RawLine& line) { line.transport().abort(); }).code(), ErrorCode::unreachable);
}

TEST(HostileTarget, ItsSentenceIsShownWithoutTricksOnTheTerminal) {
  const Error error = opening([](RawLine& line) {
    Bytes bytes;
    put_refuse(bytes, ErrorCode::busy, "come back \x1b[31mlater\n");
    line.send(bytes);
  });
  EXPECT_EQ(error.code(), ErrorCode::busy);
  EXPECT_STREQ(error.what(), "come back ?[31mlater?");
}

}  // namespace
}  // namespace vmferry::link
