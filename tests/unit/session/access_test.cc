// What a client's roles let it do in a session, and what is not there for it.
#include <gmock/gmock.h>

#include "protocol/control.h"
#include "protocol/messages.pb.h"
#include "tests/unit/session/session_fixture.h"

namespace vmferry::test {
namespace {

class AccessTest : public SessionTest {
 protected:
  void become(const char* name, const char* roles, std::vector<std::string> machines = {}, const char* controller = "") {
    access::ClientRecord record;
    record.name = name;
    record.roles = access::Roles::parse(roles);
    record.machines = std::move(machines);
    if (*controller != 0) record.client_uuid = uuid_of(controller);
    access_ = access::Access::client(record);
  }
  // A point of this machine, by the owner, as this controller.
  Content have_point(const char* controller, const char* machine) {
    access_ = access::Access::owner();
    const auto session = connect(controller);
    MachineName name;
    name.client = controller;
    name.machine = machine;
    Content content = make_content(session->facts(), name, 20);
    content.point.client_uuid = uuid_of(controller);
    session->open_backup(opening(name));
    content.point = back_up(*session, content).point;
    return content;
  }
  static std::vector<std::string> names(const std::vector<PointSummary>& points) {
    std::vector<std::string> all;
    for (const PointSummary& point : points) all.push_back(point.machine_name);
    return all;
  }
};

TEST_F(AccessTest, ASenderListsAndReadsItsOwnMachinesAndNobodyElses) {
  const Content own = have_point("host", "web1"), other = have_point("other", "db1");
  become("web", "sender", {}, "host");
  const auto session = connect("host");
  EXPECT_THAT(names(session->points()), testing::ElementsAre("web1"));
  EXPECT_EQ(session->point(own.point.uuid).uuid, own.point.uuid);
  EXPECT_EQ(error_of([&] { session->point(other.point.uuid); }).code(), ErrorCode::not_found);
  EXPECT_EQ(error_of([&] { session->verify(other.point.uuid, {}); }).code(), ErrorCode::not_found);
  EXPECT_TRUE(session->verify(own.point.uuid, {}).damage.empty());
}

TEST_F(AccessTest, AReaderReadsWhatItsPatternsNameAndAddsNothing) {
  have_point("host", "web1");
  const Content hidden = have_point("other", "db1");
  become("desk", "reader", {"web*"});
  const auto session = connect("desk");
  EXPECT_THAT(names(session->points()), testing::ElementsAre("web1"));
  EXPECT_EQ(error_of([&] { session->point(hidden.point.uuid); }).code(), ErrorCode::not_found);
  EXPECT_EQ(error_of([&] { session->open_backup(opening()); }).code(), ErrorCode::permission);
  EXPECT_THAT(names(session->points()), testing::ElementsAre("web1"));  // the session goes on
}

TEST_F(AccessTest, ASenderIsConfinedToTheNamesOfItsPatterns) {
  become("web", "sender", {"web*"}, "host");
  const auto session = connect("host");
  MachineName name;
  name.machine = "db1";
  EXPECT_EQ(error_of([&] { session->open_backup(opening(name)); }).code(), ErrorCode::permission);
  session->open_backup(opening());  // web1
}

TEST_F(AccessTest, NobodyAddsToAnotherControllersMachines) {
  become("web", "sender", {}, "host");
  const Error refused = error_of([&] { connect("somebody else"); });
  EXPECT_EQ(refused.code(), ErrorCode::refused);
  EXPECT_THAT(refused.what(), testing::HasSubstr("enrol"));
}

TEST_F(AccessTest, PointsThatASenderMayNotReadAreNoBasesForIt) {
  const Content other = have_point("other", "web1");
  become("web", "sender", {}, "host");
  const auto session = connect("host");
  target::BackupOpening open = opening();
  open.adopt = true;
  open.base_candidates = {other.point.uuid};
  EXPECT_TRUE(session->open_backup(open).bases.empty());
}

TEST_F(AccessTest, AClientThatHasNotSaidWhichControllerItIsSaysSoOnce) {
  become("web", "sender");
  std::vector<std::pair<std::string, Uuid>> bound;
  options_.bind = [&](const std::string& client, const Uuid& uuid) {
    bound.emplace_back(client, uuid);
    access::ClientRecord record;
    record.name = client;
    record.roles = access::Roles::parse("sender");
    record.client_uuid = bound.front().second;
    return record;
  };
  connect("host")->open_backup(opening());
  EXPECT_EQ(bound, (std::vector<std::pair<std::string, Uuid>>{{"web", uuid_of("host")}}));
  EXPECT_EQ(error_of([&] { connect("another"); }).code(), ErrorCode::refused);
}

TEST_F(AccessTest, OfTwoBackupsAtOnceOneWaitsAndIsToldSo) {
  options_.backup_turns = std::make_shared<target_server::Turnstile>(1);
  auto first = connect("host");
  first->open_backup(opening());
  std::promise<std::string> told;
  auto second = target::TargetSession::open(serve_end(), {uuid_of("other"), "other"},
                                            [&](const std::string& sentence) { told.set_value(sentence); });
  MachineName name;
  name.machine = "db1";
  auto opened = std::async(std::launch::async, [&] { second->open_backup(opening(name)); });
  EXPECT_THAT(told.get_future().get(), testing::HasSubstr("next one"));
  first->close_backup();
  opened.get();
}

TEST_F(AccessTest, AVerificationThatIsStoppedHereStopsAtTheTarget) {
  const Content content = have_point("host", "web1");
  const auto session = connect("host");
  EXPECT_EQ(error_of([&] {
              session->verify(content.point.uuid, [](std::uint64_t, std::uint64_t) {
                throw Error(ErrorCode::cancelled, "stopped");
              });
            }).code(),
            ErrorCode::cancelled);
  EXPECT_EQ(names(session->points()).size(), 1u);  // and the session goes on
}

}  // namespace
}  // namespace vmferry::test
