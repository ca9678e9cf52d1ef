// Who gets a line into a link, and who does not.
#include <gtest/gtest.h>

#include "protocol/error.h"
#include "tests/unit/link/raw_line.h"

namespace vmferry::link {
namespace {

using namespace std::chrono_literals;
using test::bytes_of;
using test::LinkTarget;
using test::new_hello;
using test::RawLine;

Error refusal(RawLine& line) {
  const auto record = line.next();
  if (!record || record->header.type != RecordType::refuse) return Error(ErrorCode::failed, "it was not refused");
  return parse_refuse(record->payload);
}

bool welcomed(RawLine& line) {
  const auto record = line.next();
  return record && record->header.type == RecordType::welcome;
}

TEST(LinkGreeting, ANewLinkIsWelcomedAndGivenToTheServer) {
  LinkTarget target;
  RawLine line(target, "web");
  line.send(bytes_of(new_hello()));
  const auto record = line.next();
  ASSERT_TRUE(record);
  ASSERT_EQ(record->header.type, RecordType::welcome);
  const Welcome welcome = parse_welcome(record->header, record->payload);
  EXPECT_EQ(welcome.standing.received, 0u);
  EXPECT_EQ(welcome.lines_max, LinkServerOptions{}.lines_max);
  EXPECT_EQ(target.accept()->peer(), "web");
}

TEST(LinkGreeting, TheHelloMayHaveBeenReadInPartByTheServer) {
  LinkTarget target;
  auto [here, there] = memory_transport();
  const Bytes hello = bytes_of(new_hello());
  target.server().take(std::move(there), "web", ByteView(hello).first(4));
  RawLine line(std::move(here));
  line.send(ByteView(hello).subspan(4));
  EXPECT_TRUE(welcomed(line));
}

TEST(LinkGreeting, AnotherMajorVersionIsRefusedWithTheSideToUpdate) {
  LinkTarget target;
  Hello hello = new_hello();
  hello.major = 2;
  RawLine newer(target);
  newer.send(bytes_of(hello));
  Error error = refusal(newer);
  EXPECT_EQ(error.code(), ErrorCode::version);
  EXPECT_NE(std::string(error.what()).find("update the target"), std::string::npos) << error.what();
  hello.major = 0;
  RawLine older(target);
  older.send(bytes_of(hello));
  error = refusal(older);
  EXPECT_EQ(error.code(), ErrorCode::version);
  EXPECT_NE(std::string(error.what()).find("update the controller"), std::string::npos) << error.what();
}

TEST(LinkGreeting, AHigherMinorVersionIsUnderstoodWhateverItAdds) {
  LinkTarget target;
  Hello hello = new_hello();
  hello.minor = version_minor + 1;
  Bytes bytes = bytes_of(hello);
  bytes.resize(bytes.size() + 10);  // fields that we do not know
  bytes[8] = static_cast<std::byte>(std::to_integer<unsigned>(bytes[8]) + 10);
  RawLine line(target);
  line.send(bytes);
  EXPECT_TRUE(welcomed(line));
}

// Whether a link never was, has another secret or is another client's cannot be told from the answer.
TEST(LinkGreeting, AnUnknownLinkAWrongSecretAndAnotherClientAreRefusedAlike) {
  LinkTarget target;
  RawLine first(target, "web");
  Hello hello = new_hello();
  first.send(bytes_of(hello));
  ASSERT_TRUE(welcomed(first));
  const auto made = target.accept();
  hello.create = false;
  hello.line = 2;

  Hello unknown = hello;
  unknown.link = Uuid::random();
  Hello guessed = hello;
  guessed.secret[31] ^= std::byte{1};
  std::vector<std::string> answers;
  const auto ask = [&](const Hello& asked, const char* peer) {
    RawLine line(target, peer);
    line.send(bytes_of(asked));
    const Error error = refusal(line);
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    answers.push_back(error.what());
  };
  ask(unknown, "web");
  ask(guessed, "web");
  ask(hello, "mail");
  guessed.create = true;
  ask(guessed, "web");
  EXPECT_EQ(std::count(answers.begin(), answers.end(), answers[0]), 4) << answers[0];

  RawLine second(target, "web");
  second.send(bytes_of(hello));
  EXPECT_TRUE(welcomed(second)) << "and the right one comes in";
}

// The welcome may be lost with its line: the client says the same again, and means the same link.
TEST(LinkGreeting, AClientThatNeverHeardTheWelcomeFindsTheLinkThatItMade) {
  LinkTarget target;
  Hello hello = new_hello();
  RawLine first(target);
  first.send(bytes_of(hello));
  const auto made = target.accept();
  first.transport().abort();
  hello.line = 2;
  RawLine again(target);
  again.send(bytes_of(hello));
  ASSERT_TRUE(welcomed(again));
  again.send(test::data_record(0, as_bytes("hello")));
  Bytes received(5);
  EXPECT_EQ(made->receive(received), 5u);
}

TEST(LinkGreeting, AReplayedHelloIsRefused) {
  LinkTarget target;
  const Bytes hello = bytes_of(new_hello());
  RawLine line(target);
  line.send(hello);
  ASSERT_TRUE(welcomed(line));
  const auto made = target.accept();
  RawLine replayed(target);
  replayed.send(hello);
  EXPECT_EQ(refusal(replayed).code(), ErrorCode::malformed);
  line.send(test::data_record(0, as_bytes("still here")));
  Bytes received(10);
  EXPECT_EQ(made->receive(received), 10u);
}

TEST(LinkGreeting, HellosThatNobodySendsAreRefused) {
  const auto refused = [](auto change) {
    LinkTarget target;
    Hello hello = new_hello();
    Bytes bytes = bytes_of(hello);
    change(hello, bytes);
    RawLine line(target);
    line.send(bytes);
    return refusal(line).code();
  };
  const auto field = [&](auto set) {
    return refused([&](Hello& hello, Bytes& bytes) {
      set(hello);
      bytes = bytes_of(hello);
    });
  };
  EXPECT_EQ(field([](Hello& h) { h.standing.window = 0; }), ErrorCode::malformed);
  EXPECT_EQ(field([](Hello& h) { h.standing.window = window_bytes_max + 1; }), ErrorCode::malformed);
  EXPECT_EQ(field([](Hello& h) { h.standing.limit = h.standing.window + 1; }), ErrorCode::malformed);
  EXPECT_EQ(field([](Hello& h) { h.standing.received = 1; }), ErrorCode::malformed) << "nothing was sent";
  EXPECT_EQ(field([](Hello& h) { h.standing.hear_within = 0ms; }), ErrorCode::malformed);
  EXPECT_EQ(field([](Hello& h) { h.line = 0; }), ErrorCode::malformed);
  EXPECT_EQ(field([](Hello& h) { h.link = Uuid(); }), ErrorCode::malformed);
  EXPECT_EQ(field([](Hello& h) { h.lines_alive.resize(lines_named_max + 1); }), ErrorCode::malformed);
  const auto byte = [&](std::size_t at, unsigned value) {
    return refused([&](Hello&, Bytes& bytes) { bytes[at] = static_cast<std::byte>(value); });
  };
  EXPECT_EQ(byte(0, 'X'), ErrorCode::malformed) << "magic";
  EXPECT_EQ(byte(11, 0x40), ErrorCode::malformed) << "a gigabyte";
  EXPECT_EQ(byte(8, 10), ErrorCode::malformed) << "too short";
  EXPECT_EQ(byte(12, 1), ErrorCode::malformed) << "reserved";
  EXPECT_EQ(byte(16 + 16 + 32, 3), ErrorCode::malformed) << "flags";
}

TEST(LinkGreeting, APeerThatSaysNothingOrHalfAHelloIsDropped) {
  LinkTarget target({.limits = {.hello_timeout = 50ms}});
  RawLine silent(target), halting(target);
  halting.send(ByteView(bytes_of(new_hello())).first(40));
  EXPECT_FALSE(silent.next());
  EXPECT_FALSE(halting.next());
}

TEST(LinkGreeting, MoreLinksThanTheTargetTakesAreTurnedAwayAsBusy) {
  LinkTarget target({.links_max = 1});
  RawLine one(target), other(target);
  one.send(bytes_of(new_hello()));
  ASSERT_TRUE(welcomed(one));
  auto made = target.accept();
  other.send(bytes_of(new_hello()));
  EXPECT_EQ(refusal(other).code(), ErrorCode::busy);
  one.transport().abort();
  made.reset();
  RawLine later(target);
  later.send(bytes_of(new_hello()));
  EXPECT_TRUE(welcomed(later)) << "the first one is gone";
}

TEST(LinkGreeting, MoreLinesThanALinkMayHaveAreTurnedAwayUntilOneIsGone) {
  LinkTarget target({.lines_max = 2});
  Hello hello = new_hello();
  RawLine one(target), two(target), three(target);
  one.send(bytes_of(hello));
  ASSERT_TRUE(welcomed(one));
  hello.line = 2;
  hello.lines_alive = {1};
  two.send(bytes_of(hello));
  ASSERT_TRUE(welcomed(two));
  hello.line = 3;
  hello.lines_alive = {1, 2};
  three.send(bytes_of(hello));
  EXPECT_EQ(refusal(three).code(), ErrorCode::busy);
  RawLine four(target);
  hello.line = 4;
  hello.lines_alive = {2};  // the client knows that line 1 is dead, and the target learns it here
  four.send(bytes_of(hello));
  EXPECT_TRUE(welcomed(four));
  EXPECT_FALSE(one.next(RecordType::abort)) << "it was just dropped";
}

}  // namespace
}  // namespace vmferry::link
