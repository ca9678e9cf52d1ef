// Who may do what, as an administrator says it and as files keep it.
#include "target-server/access/client_book.h"

#include <gtest/gtest.h>

#include <fstream>

#include "protocol/error.h"
#include "target-server/access/access.h"
#include "target-server/access/client_watch.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::access {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

ErrorCode code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::failed;
}

KeyFingerprint key(int n) {
  KeyFingerprint fingerprint;
  fingerprint.bytes[0] = static_cast<std::byte>(n);
  return fingerprint;
}

ClientRecord client(const std::string& name, const std::string& roles = "sender,reader") {
  ClientRecord record;
  record.name = name;
  record.roles = Roles::parse(roles);
  return record;
}

PointSummary point_of(const Uuid& client_uuid, const std::string& machine) {
  PointSummary point;
  point.client_uuid = client_uuid;
  point.machine_name = machine;
  return point;
}

class ClientBookTest : public testing::Test {
 protected:
  test::TemporaryDirectory store_;
  ClientBook book_{store_ / "store"};
};

TEST_F(ClientBookTest, AnInvitationIsGoodOnceAndMakesTheClientKnownByItsKey) {
  ClientRecord invited = client("web");
  invited.machines = {"web*", "\"quoted\" \\ name"};
  const ClientBook::Secret secret = book_.invite(invited, hours(1));
  EXPECT_FALSE(book_.by_name("web"));
  EXPECT_EQ(book_.list().invitations.size(), 1u);

  const Uuid controller = Uuid::random();
  const ClientRecord made = book_.accept(secret, key(1), controller);
  EXPECT_EQ(made.machines, invited.machines);
  ASSERT_TRUE(book_.by_key(key(1)));
  EXPECT_EQ(*book_.by_key(key(1)), made);
  EXPECT_EQ(book_.by_name("web")->client_uuid, controller);
  EXPECT_FALSE(book_.by_key(key(2)));
  EXPECT_TRUE(book_.list().invitations.empty());
  EXPECT_EQ(code_of([&] { book_.accept(secret, key(2), controller); }), ErrorCode::permission);
}

TEST_F(ClientBookTest, AnInvitationThatHasExpiredOrWasReplacedIsWorthNothing) {
  const ClientBook::Secret expired = book_.invite(client("old"), milliseconds(0));
  EXPECT_EQ(code_of([&] { book_.accept(expired, key(1), Uuid::random()); }), ErrorCode::permission);
  const ClientBook::Secret first = book_.invite(client("web"), hours(1));
  const ClientBook::Secret second = book_.invite(client("web"), hours(1));
  EXPECT_EQ(code_of([&] { book_.accept(first, key(1), Uuid::random()); }), ErrorCode::permission);
  EXPECT_EQ(book_.accept(second, key(1), Uuid::random()).name, "web");
}

TEST_F(ClientBookTest, TheSecretIsNowhereInTheStore) {
  const ClientBook::Secret secret = book_.invite(client("web"), hours(1));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(book_.folder())) {
    EXPECT_EQ(entry.path().string().find(to_hex(secret)), std::string::npos);
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path());
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    EXPECT_EQ(text.find(to_hex(secret)), std::string::npos);
  }
}

TEST_F(ClientBookTest, ARevokedClientIsUnknownAndItsNameFree) {
  book_.accept(book_.invite(client("web"), hours(1)), key(1), Uuid::random());
  EXPECT_EQ(code_of([&] { book_.invite(client("web"), hours(1)); }), ErrorCode::exists);
  book_.revoke("web");
  EXPECT_FALSE(book_.by_key(key(1)));
  EXPECT_FALSE(book_.by_name("web"));
  EXPECT_TRUE(book_.list().clients.at(0).revoked());
  EXPECT_EQ(code_of([&] { book_.revoke("web"); }), ErrorCode::not_found);
  EXPECT_EQ(book_.accept(book_.invite(client("web"), hours(1)), key(2), Uuid::random()).key, key(2));
}

TEST_F(ClientBookTest, RevokingTakesAnOpenInvitationBack) {
  const ClientBook::Secret secret = book_.invite(client("web"), hours(1));
  book_.revoke("web");
  EXPECT_EQ(code_of([&] { book_.accept(secret, key(1), Uuid::random()); }), ErrorCode::permission);
}

TEST_F(ClientBookTest, OneKeyIsOneClient) {
  book_.accept(book_.invite(client("web"), hours(1)), key(1), Uuid::random());
  const ClientBook::Secret second = book_.invite(client("db"), hours(1));
  EXPECT_EQ(code_of([&] { book_.accept(second, key(1), Uuid::random()); }), ErrorCode::exists);
}

TEST_F(ClientBookTest, NamesThatWouldLeaveTheFolderAreRefused) {
  for (const char* name : {"", "..", ".hidden", "a/b", "-x", "a b", "name\n"})
    EXPECT_EQ(code_of([&] { book_.add(client(name)); }), ErrorCode::usage) << name;
  EXPECT_FALSE(book_.by_name("../clients/web"));
}

TEST_F(ClientBookTest, AFileThatCannotBeReadIsNamedAndItsClientCanDoNothing) {
  book_.add(client("good", "reader"));
  std::ofstream(book_.folder() / "bad.toml") << "name = \"bad\"\nroles = \"emperor\"\n";
  const ClientBook::Listing listing = book_.list();
  EXPECT_EQ(listing.clients.size(), 1u);
  ASSERT_EQ(listing.unreadable.size(), 1u);
  EXPECT_NE(listing.unreadable[0].find("bad.toml"), std::string::npos);
  EXPECT_EQ(code_of([&] { (void)book_.by_name("bad"); }), ErrorCode::damaged);
}

TEST_F(ClientBookTest, TheFirstControllerThatAClientSaysItIsIsTheOne) {
  book_.add(client("web"));
  const Uuid first = Uuid::random();
  EXPECT_EQ(book_.bind("web", first).client_uuid, first);
  EXPECT_EQ(book_.bind("web", Uuid::random()).client_uuid, first);
}

TEST_F(ClientBookTest, AWatchSeesWhatAnotherProcessRevokes) {
  book_.add(client("web"));
  std::mutex mutex;
  std::condition_variable seen;
  bool revoked = false;
  const ClientWatch watch(book_.folder(), [&] {
    const std::lock_guard lock(mutex);
    revoked = revoked || !book_.by_name("web");
    seen.notify_all();
  });
  ClientBook(store_ / "store").revoke("web");
  std::unique_lock lock(mutex);
  EXPECT_TRUE(seen.wait_for(lock, std::chrono::seconds(20), [&] { return revoked; }));
}

TEST(Access, ASenderAddsToItsOwnMachinesAndSeesThoseOnly) {
  ClientRecord record = client("web", "sender");
  record.client_uuid = Uuid::random();
  record.machines = {"web*"};
  const Access access = Access::client(record);
  const Uuid own = record.client_uuid, other = Uuid::random();
  access.check_add("web1", own);
  EXPECT_EQ(code_of([&] { access.check_add("db1", own); }), ErrorCode::permission);
  EXPECT_EQ(code_of([&] { access.check_add("web1", other); }), ErrorCode::refused);
  EXPECT_EQ(code_of([&] { access.check_identity(other); }), ErrorCode::refused);
  EXPECT_EQ(code_of([&] { access.check_replicate("web1"); }), ErrorCode::permission);
  EXPECT_TRUE(access.may_read(point_of(own, "web1"), own));
  EXPECT_FALSE(access.may_read(point_of(own, "db1"), own));
  EXPECT_FALSE(access.may_read(point_of(other, "web1"), own));
}

TEST(Access, AReaderSeesEverybodysMachinesOfItsNamesAndAddsNothing) {
  ClientRecord record = client("desk", "reader");
  record.machines = {"web?"};
  const Access access = Access::client(record);
  EXPECT_TRUE(access.may_read(point_of(Uuid::random(), "web1"), Uuid::random()));
  EXPECT_FALSE(access.may_read(point_of(Uuid::random(), "web10"), Uuid::random()));
  access.check_identity(Uuid::random());
  EXPECT_EQ(code_of([&] { access.check_add("web1", Uuid::random()); }), ErrorCode::permission);
}

TEST(Access, ASenderThatReadsTooMayDoSoFromAnotherHostButNotAddThere) {
  ClientRecord record = client("web", "sender,reader");
  record.client_uuid = Uuid::random();
  const Access access = Access::client(record);
  const Uuid elsewhere = Uuid::random();
  access.check_identity(elsewhere);
  EXPECT_TRUE(access.may_read(point_of(record.client_uuid, "web1"), elsewhere));
  EXPECT_EQ(code_of([&] { access.check_add("web1", elsewhere); }), ErrorCode::refused);
}

TEST(Access, TheOwnerMayDoEverything) {
  const Access owner = Access::owner();
  owner.check_add("web1", Uuid::random());
  owner.check_replicate("web1");
  EXPECT_TRUE(owner.may_read(point_of(Uuid::random(), "web1"), Uuid::random()));
}

}  // namespace
}  // namespace vmferry::access
