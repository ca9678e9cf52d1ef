// Whose name it is, and from which base points a backup starts.
#include "target-server/receive/opening.h"

#include "tests/unit/session/session_fixture.h"

namespace vmferry::test {
namespace {

using target_server::choose_bases;
using target_server::newest_of_name;
using target_server::Opening;
using target_server::refuse_another_machine;

PointSummary summary(const char* uuid, const char* client, const char* machine, const char* name, std::int64_t arrived,
                     std::uint64_t number) {
  PointSummary point;
  point.uuid = uuid_of(uuid);
  point.client_uuid = uuid_of(client);
  point.machine_uuid = uuid_of(machine);
  point.machine_name = name;
  point.arrived_ms = arrived;
  point.number = number;
  return point;
}

Opening opening_of(const char* client, const char* machine, const char* name) {
  Opening opening;
  opening.client_uuid = uuid_of(client);
  opening.machine_uuid = uuid_of(machine);
  opening.machine_name = name;
  return opening;
}

RestorePoint point_of(const char* machine, std::vector<Uuid> disks) {
  RestorePoint point;
  point.number = 4;
  point.machine_uuid = uuid_of(machine);
  for (const Uuid& uuid : disks) {
    PointDisk disk;
    disk.uuid = uuid;
    point.disks.push_back(disk);
  }
  return point;
}

const std::vector<PointSummary> listed_points = {
    summary("a1", "host", "m1", "web1", 100, 1), summary("a2", "host", "m1", "web1", 200, 2),
    summary("b1", "host", "m2", "db", 300, 1),   summary("c1", "other", "m1", "web1", 400, 1),
    summary("d1", "host", "m3", "web1", 150, 1),
};

TEST(Opening, TheNewestPointOfANameIsThisClientsWhicheverMachineMadeIt) {
  EXPECT_EQ(newest_of_name(listed_points, opening_of("host", "m9", "web1"))->uuid, uuid_of("a2"));
  EXPECT_EQ(newest_of_name(listed_points, opening_of("other", "m9", "web1"))->uuid, uuid_of("c1"));
  EXPECT_FALSE(newest_of_name(listed_points, opening_of("host", "m9", "web2")));
}

TEST(Opening, AnotherMachineUnderTheNameIsRefusedUnlessAdopted) {
  Opening opening = opening_of("host", "m2", "web1");
  const RestorePoint last = point_of("m1", {});
  const Error error = error_of([&] { refuse_another_machine(opening, last); });
  EXPECT_EQ(error.code(), ErrorCode::refused);
  EXPECT_NE(std::string(error.what()).find("--adopt"), std::string::npos) << error.what();
  opening.adopt = true;
  EXPECT_NO_THROW(refuse_another_machine(opening, last));
}

TEST(Opening, OtherDisksUnderTheSameMachineAreRefusedButAnAddedOrAnUnknownDiskIsNot) {
  Opening opening = opening_of("host", "m1", "web1");
  const Uuid known = uuid_of("disk 1"), other = uuid_of("disk 2");
  opening.disk_uuids = {other};
  EXPECT_EQ(error_of([&] { refuse_another_machine(opening, point_of("m1", {known})); }).code(), ErrorCode::refused);
  EXPECT_NO_THROW(refuse_another_machine(opening, point_of("m1", {Uuid{}})));
  opening.disk_uuids = {other, known};
  EXPECT_NO_THROW(refuse_another_machine(opening, point_of("m1", {known})));
  opening.disk_uuids = {Uuid{}};
  EXPECT_NO_THROW(refuse_another_machine(opening, point_of("m1", {known})));
}

TEST(Opening, TheMachinesOwnNewestPointIsTheFirstBaseThenTheCandidatesThatExist) {
  Opening opening = opening_of("host", "m1", "web1");
  for (const char* candidate : {"gone", "b1", "a2", "d1", "c1", "a1"})
    opening.base_candidates.push_back(uuid_of(candidate));
  EXPECT_EQ(choose_bases(listed_points, opening),
            (std::vector<Uuid>{uuid_of("a2"), uuid_of("b1"), uuid_of("d1"), uuid_of("c1")}));
  EXPECT_TRUE(choose_bases(listed_points, opening_of("host", "m9", "web1")).empty());
}

TEST(Opening, AdoptingMayStartFromTheNamesLastPointAndFromAnotherClientsPointsOfTheMachine) {
  Opening opening = opening_of("host", "m2", "web1");
  opening.adopt = true;
  EXPECT_EQ(choose_bases(listed_points, opening), (std::vector<Uuid>{uuid_of("b1"), uuid_of("a2")}));
  opening = opening_of("new host", "m1", "web1");
  opening.adopt = true;
  EXPECT_EQ(choose_bases(listed_points, opening), (std::vector<Uuid>{uuid_of("c1")}));
}

class OpenBackup : public SessionTest {};

TEST_F(OpenBackup, ANameOfAnotherMachineIsRefusedAndTheSessionGoesOn) {
  const auto session = connect();
  session->open_backup(opening());
  ASSERT_TRUE(back_up(*session, make_content(session->facts(), {}, 20)).committed);
  target::BackupOpening other = opening({"host", "web2", "disk 2"});
  other.machine_name = "web1";
  EXPECT_EQ(error_of([&] { session->open_backup(other); }).code(), ErrorCode::refused);
  other.adopt = true;
  EXPECT_EQ(session->open_backup(other).bases.size(), 1u);
  session->close_backup();
}

TEST_F(OpenBackup, TheSameMachineFromAClientThatLostItsIdentityIsANewMachineUntilAdopted) {
  const auto old_client = connect("host");
  old_client->open_backup(opening());
  ASSERT_TRUE(back_up(*old_client, make_content(old_client->facts(), {}, 20)).committed);
  const auto new_client = connect("host, installed again");
  target::BackupOpening again = opening();
  EXPECT_TRUE(new_client->open_backup(again).bases.empty());
  new_client->close_backup();
  again.adopt = true;
  EXPECT_EQ(new_client->open_backup(again).bases.size(), 1u);
  new_client->close_backup();
}

TEST_F(OpenBackup, AMachineIsBackedUpByOneSessionAtATime) {
  const auto one = connect(), other = connect();
  one->open_backup(opening());
  EXPECT_EQ(error_of([&] { other->open_backup(opening()); }).code(), ErrorCode::busy);
  EXPECT_NO_THROW(other->open_backup(opening({"host", "web2", "disk 2"})));
  one->close_backup();
  other->close_backup();
  EXPECT_NO_THROW(other->open_backup(opening()));
  other->close_backup();
}

}  // namespace
}  // namespace vmferry::test
