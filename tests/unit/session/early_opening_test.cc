// A backup that is asked for with the handshake.
#include <gmock/gmock.h>

#include "tests/support/delayed_transport.h"
#include "tests/unit/session/session_fixture.h"

namespace vmferry::test {
namespace {

using namespace std::chrono_literals;

class EarlyOpening : public SessionTest {
 protected:
  std::unique_ptr<target::TargetSession> connect_early(const std::optional<target::BackupOpening>& early,
                                                       const std::string& client = "host") {
    return target::TargetSession::open(serve_end(), {uuid_of(client), client}, {}, early);
  }
  RestorePoint have_point(const MachineName& name = {}) {
    const auto session = connect();
    session->open_backup(opening(name));
    return back_up(*session, make_content(session->facts(), name, 50, [](std::size_t i) { return i; })).point;
  }
};

TEST_F(EarlyOpening, ItsAnswerComesWithTheWelcome) {
  const RestorePoint first = have_point();
  DelayedPair line = delayed_transport(20ms);
  const DelayedEnd& end = *line.client;
  auto server = std::async(std::launch::async, [&] { target_server::serve_session(*line.server, *store_); });
  target::BackupOpening early = opening();
  early.base_candidates = {uuid_of("a point of another store"), first.uuid};
  const auto session = target::TargetSession::open(std::move(line.client), {uuid_of("host"), "host"}, {}, early);
  target::BackupOpening wanted = opening();
  wanted.base_candidates = {first.uuid};
  const target::BackupOpened opened = session->open_backup(wanted);
  ASSERT_EQ(opened.bases.size(), 1u);
  EXPECT_EQ(opened.bases[0], first);
  EXPECT_EQ(end.round_trips(), 1u);
  session->close_backup();
}

TEST_F(EarlyOpening, AnotherThanWasAskedForIsOpenedInstead) {
  MachineName other;
  other.machine = "db1";
  const auto session = connect_early(opening());
  session->open_backup(opening(other));
  const auto second = connect_early(opening(), "host");  // the first one's machine is free
  second->open_backup(opening());
}

TEST_F(EarlyOpening, WhereABasePointIsMissingTheTargetIsAsked) {
  MachineName sibling;
  sibling.machine = "web2";
  const RestorePoint like_it = have_point(sibling);
  const auto session = connect_early(opening());
  target::BackupOpening wanted = opening();
  wanted.base_candidates = {like_it.uuid};
  const target::BackupOpened opened = session->open_backup(wanted);
  ASSERT_EQ(opened.bases.size(), 1u);
  EXPECT_EQ(opened.bases[0], like_it);
}

TEST_F(EarlyOpening, ARefusalIsToldWhereTheBackupIsOpened) {
  const auto holder = connect();
  holder->open_backup(opening());
  const auto session = connect_early(opening());
  EXPECT_EQ(session->points().size(), 0u);  // the session is as good as any
  EXPECT_EQ(error_of([&] { session->open_backup(opening()); }).code(), ErrorCode::busy);
  holder->close_backup();
  session->open_backup(opening());
}

TEST_F(EarlyOpening, ARefusalOfWhatIsNotWantedIsForNobody) {
  const auto holder = connect();
  holder->open_backup(opening());
  MachineName other;
  other.machine = "db1";
  const auto session = connect_early(opening());
  session->open_backup(opening(other));
}

TEST_F(EarlyOpening, WhatNobodyTookIsOverWithTheSession) {
  connect_early(opening())->points();
  served();
  connect()->open_backup(opening());
}

}  // namespace
}  // namespace vmferry::test
