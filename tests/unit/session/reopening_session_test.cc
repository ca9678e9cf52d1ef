// ReopeningSession against a real store: sessions that break at any byte, a target that stays away, another store.
#include <gmock/gmock.h>

#include <set>

#include "protocol/session/reopening_session.h"
#include "tests/support/breaking_transport.h"
#include "tests/unit/session/session_fixture.h"

namespace vmferry::test {
namespace {

using namespace std::chrono_literals;

class ReopeningSession : public SessionTest {
 protected:
  ReopeningSession() {
    const auto session = connect();
    content_ = make_content(session->facts(), {}, 600);
    session->open_backup(opening());
    EXPECT_TRUE(back_up(*session, content_).committed);
    options_of_it_.retry_min = 1ms;
    options_of_it_.retry_max = 4ms;
    options_of_it_.note = [this](const std::string& sentence) { notes_.push_back(sentence); };
  }

  ~ReopeningSession() override {
    for (auto& session : served_)
      if (session.valid()) session.wait();
  }

  std::unique_ptr<target::TargetSession> connect_until(const BreakAfter& after) {
    return target::TargetSession::open(std::make_unique<BreakingTransport>(serve_end(), after),
                                       {uuid_of("host"), "host"});
  }

  // Sessions that break after what next() says, one after another.
  std::unique_ptr<target::ReopeningSession> open(std::function<BreakAfter()> next) {
    return std::make_unique<target::ReopeningSession>(
        connect_until(next()), [this, next] { return connect_until(next()); }, options_of_it_);
  }

  std::unique_ptr<store::Store> other_;
  Content content_;
  target::ReopeningOptions options_of_it_;
  std::vector<std::string> notes_;
};

// The handshake is let through: what breaks in it is the same as a target that is not there.
constexpr std::uint64_t handshake_bytes = 1024;

std::function<BreakAfter()> breaks_at_random(Random& random, std::uint64_t bytes) {
  return [&random, bytes] {
    BreakAfter after;
    if (random.below(4) == 0)
      after.sent_bytes = handshake_bytes + random.below(4096);
    else
      after.received_bytes = handshake_bytes + random.below(bytes);
    return after;
  };
}

TEST_F(ReopeningSession, EveryChunkComesOnceHoweverOftenTheSessionBreaks) {
  const std::vector<ChunkId> ids = content_.ids();
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Random random(seed);
    const auto session = open(breaks_at_random(random, 1u << 20));
    std::set<ChunkId> came;
    session->chunks().get(ids, [&](const ChunkId& id, ByteView bytes) {
      EXPECT_TRUE(came.insert(id).second) << "twice";
      EXPECT_TRUE(std::ranges::equal(bytes, content_.chunks.at(id)));
    });
    EXPECT_EQ(came.size(), ids.size());
  }
  EXPECT_GE(notes_.size(), 20u);
  EXPECT_THAT(notes_.front(), testing::StartsWith("the target went away (the line to the target broke"));
  EXPECT_EQ(notes_[1], "the target is back");
}

TEST_F(ReopeningSession, EveryFetchIsDeliveredOnceAndEndsOnce) {
  const std::vector<ChunkId> ids = content_.ids();
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Random random(seed);
    const auto session = open(breaks_at_random(random, 1u << 20));
    std::mutex mutex;
    std::condition_variable changed;
    std::map<ChunkId, unsigned> came;
    std::size_t ended = 0, started = 0;
    for (std::size_t begin = 0; begin < ids.size(); begin += 50, ++started)
      session->fetch({ids.begin() + static_cast<std::ptrdiff_t>(begin),
                      ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), begin + 50))},
                     [&](const ChunkId& id, ByteView bytes) {
                       EXPECT_TRUE(std::ranges::equal(bytes, content_.chunks.at(id)));
                       const std::lock_guard lock(mutex);
                       ++came[id];
                     },
                     [&](std::exception_ptr error) {
                       EXPECT_EQ(error, nullptr);
                       const std::lock_guard lock(mutex);
                       ++ended;
                       changed.notify_all();
                     });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return ended == started; });
    EXPECT_EQ(came.size(), ids.size());
    for (const auto& [id, times] : came) EXPECT_EQ(times, 1u);
  }
}

TEST_F(ReopeningSession, QuestionsAreAskedAgain) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Random random(seed);
    const auto session = open(breaks_at_random(random, 2048));
    const std::vector<PointSummary> points = session->points();
    ASSERT_EQ(points.size(), 1u);
    EXPECT_EQ(session->point(points[0].uuid).disks, content_.point.disks);
    EXPECT_EQ(error_of([&] { session->point(uuid_of("none")); }).code(), ErrorCode::not_found);
  }
  const auto session = open([breaks = 0]() mutable {
    return ++breaks == 1 ? BreakAfter{.received_bytes = handshake_bytes} : BreakAfter{};
  });
  EXPECT_TRUE(session->verify(content_.point.uuid, {}).damage.empty());
}

TEST_F(ReopeningSession, WhatTheSessionsMovedIsCountedOverAllOfThem) {
  const auto session = open([breaks = 0]() mutable {
    return ++breaks <= 3 ? BreakAfter{.received_bytes = 40'000} : BreakAfter{};
  });
  const std::vector<ChunkId> ids = content_.ids();
  session->chunks().get(ids, [](const ChunkId&, ByteView) {});
  EXPECT_GT(session->counts().received_bytes, 120'000u);
}

TEST_F(ReopeningSession, ATargetThatStaysAwayIsGivenUpAndEverythingEnds) {
  options_of_it_.patience = 20ms;
  bool is_there = true;
  target::ReopeningSession session(connect_until({.received_bytes = handshake_bytes}),
                                   [&]() -> std::unique_ptr<target::TargetSession> {
                                     is_there = false;
                                     throw Error(ErrorCode::unreachable, "nobody listens");
                                   },
                                   options_of_it_);
  std::promise<std::exception_ptr> fetch_ended;
  session.fetch(content_.ids(), [](const ChunkId&, ByteView) {},
                [&](std::exception_ptr error) { fetch_ended.set_value(std::move(error)); });
  const Error error = error_of([&] { std::rethrow_exception(fetch_ended.get_future().get()); });
  EXPECT_EQ(error.code(), ErrorCode::unreachable);
  EXPECT_THAT(error.what(), testing::HasSubstr("did not come back"));
  EXPECT_FALSE(is_there);
  EXPECT_EQ(error_of([&] { session.points(); }).code(), ErrorCode::unreachable);
  EXPECT_EQ(error_of([&] { session.chunks().get(content_.ids(), [](const ChunkId&, ByteView) {}); }).code(),
            ErrorCode::unreachable);
}

TEST_F(ReopeningSession, ATargetThatBreaksEachSessionWithoutAnAnswerIsGivenUp) {
  options_of_it_.patience = 30ms;
  const auto session = open([] { return BreakAfter{.received_bytes = handshake_bytes}; });
  EXPECT_EQ(error_of([&] { session->chunks().get(std::vector{content_.ids()[0]}, [](const ChunkId&, ByteView) {}); }).code(),
            ErrorCode::unreachable);
}

TEST_F(ReopeningSession, AnotherStoreIsRefused) {
  store::Store::init(directory_ / "other");
  other_ = store::Store::open(directory_ / "other");
  target::ReopeningSession session(connect_until({.received_bytes = handshake_bytes}),
                                   [&] {
                                     std::swap(store_, other_);
                                     return connect();
                                   },
                                   options_of_it_);
  EXPECT_EQ(error_of([&] { session.chunks().get(content_.ids(), [](const ChunkId&, ByteView) {}); }).code(),
            ErrorCode::refused);
}

TEST_F(ReopeningSession, WhatIsForGoodIsToldAtOnce) {
  target::ReopeningSession session(connect_until({.received_bytes = handshake_bytes}),
                                   []() -> std::unique_ptr<target::TargetSession> {
                                     throw Error(ErrorCode::permission, "the client was revoked");
                                   },
                                   options_of_it_);
  EXPECT_EQ(error_of([&] { session.verify(content_.point.uuid, {}); }).code(), ErrorCode::permission);
}

TEST_F(ReopeningSession, CancellingEndsTheWaiting) {
  std::atomic<bool> cancel = false;
  options_of_it_.cancel = &cancel;
  target::ReopeningSession session(connect_until({.received_bytes = handshake_bytes}),
                                   [&]() -> std::unique_ptr<target::TargetSession> {
                                     cancel = true;
                                     throw Error(ErrorCode::unreachable, "nobody listens");
                                   },
                                   options_of_it_);
  EXPECT_EQ(error_of([&] { session.verify(content_.point.uuid, {}); }).code(), ErrorCode::cancelled);
}

TEST_F(ReopeningSession, AFetchThatFailsByItselfIsNotAskedAgain) {
  const auto session = open([] { return BreakAfter{}; });
  EXPECT_EQ(error_of([&] {
              session->chunks().get(std::vector{content_.ids()[0]}, [](const ChunkId&, ByteView) {
                throw Error(ErrorCode::unreachable, "the user's own");
              });
            }).code(),
            ErrorCode::unreachable);
  std::promise<std::exception_ptr> ended;
  session->fetch({content_.ids()[0]}, [](const ChunkId&, ByteView) { throw Error(ErrorCode::unreachable, "the user's own"); },
                 [&](std::exception_ptr error) { ended.set_value(std::move(error)); });
  EXPECT_THAT(error_of([&] { std::rethrow_exception(ended.get_future().get()); }).what(),
              testing::HasSubstr("the user's own"));
  EXPECT_TRUE(notes_.empty());
  damage(content_.ids()[0]);
  EXPECT_EQ(error_of([&] { session->chunks().get(std::vector{content_.ids()[0]}, [](const ChunkId&, ByteView) {}); }).code(),
            ErrorCode::damaged);
}

TEST_F(ReopeningSession, ABackupFailsWithTheSessionThatItWasOpenedIn) {
  const auto session = open([breaks = 0]() mutable {
    return ++breaks == 1 ? BreakAfter{.received_bytes = 8000} : BreakAfter{};
  });
  session->open_backup(opening());
  session->chunks().get(content_.ids(), [](const ChunkId&, ByteView) {});  // breaks the session, and reads on in another
  EXPECT_EQ(error_of([&] { session->offer(content_.ids(), [](target::WantBitmap) {}); }).code(),
            ErrorCode::unreachable);
  EXPECT_EQ(error_of([&] { session->commit(content_.point); }).code(), ErrorCode::unreachable);
  session->open_backup(opening());
  EXPECT_TRUE(back_up(*session, make_content(session->facts(), {}, 601)).committed);
}

TEST_F(ReopeningSession, DestroyingItEndsWhatIsUnderWay) {
  std::atomic<unsigned> ended = 0;
  {
    target::ReopeningSession session(connect_until({.received_bytes = handshake_bytes}),
                                     []() -> std::unique_ptr<target::TargetSession> {
                                       throw Error(ErrorCode::unreachable, "nobody listens");
                                     },
                                     options_of_it_);
    for (int i = 0; i < 3; ++i)
      session.fetch(content_.ids(), [](const ChunkId&, ByteView) {}, [&](std::exception_ptr error) {
        EXPECT_NE(error, nullptr);
        ++ended;
      });
  }
  EXPECT_EQ(ended, 3u);
}

}  // namespace
}  // namespace vmferry::test
