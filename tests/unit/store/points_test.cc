#include <gmock/gmock.h>
#include <sys/wait.h>

#include "store_fixture.h"

namespace vmferry::store {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Points : public StoreTest {
 protected:
  const Uuid client_ = Uuid::random();
  const Uuid machine_ = Uuid::random();
};

TEST_F(Points, ArePerMachineNumberedAndComeBackAsTheyWere) {
  const auto store = open();
  const RestorePoint first = store->add_point(make_point(client_, machine_));
  const RestorePoint second = store->add_point(make_point(client_, machine_));
  const RestorePoint other = store->add_point(make_point(client_, Uuid::random()));
  EXPECT_EQ(first.number, 1u);
  EXPECT_EQ(second.number, 2u);
  EXPECT_EQ(other.number, 1u);
  EXPECT_GT(first.arrived_ms, 1'700'000'000'000);
  EXPECT_EQ(store->point(second.uuid), second);
  EXPECT_THAT(store->points(), testing::UnorderedElementsAre(summarize(first), summarize(second), summarize(other)));
  EXPECT_EQ(error_of([&] { store->point(Uuid::random()); }), ErrorCode::not_found);
  EXPECT_EQ(error_of([&] { store->add_point(first); }), ErrorCode::exists);
}

TEST_F(Points, NumbersAreNeverUsedAgainThoughTheNewestPointIsDeleted) {
  const auto store = open();
  store->add_point(make_point(client_, machine_));
  const RestorePoint second = store->add_point(make_point(client_, machine_));
  store->remove_point(second.uuid, false);
  EXPECT_EQ(store->add_point(make_point(client_, machine_)).number, 3u);
  std::filesystem::remove_all(directory_ / "machines");
  EXPECT_EQ(store->add_point(make_point(client_, machine_)).number, 4u);
}

TEST_F(Points, OfAnotherProcessAreSeenAndDeletedOnesAreGone) {
  const auto writer = open();
  const auto reader = open(false);
  EXPECT_THAT(reader->points(), IsEmpty());
  const RestorePoint point = writer->add_point(make_point(client_, machine_));
  EXPECT_THAT(reader->points(), SizeIs(1));
  reader->remove_point(point.uuid, true);
  EXPECT_THAT(writer->points(), SizeIs(1));
  reader->remove_point(point.uuid, false);  // needs no writer's lock
  EXPECT_THAT(writer->points(), IsEmpty());
  EXPECT_EQ(error_of([&] { writer->point(point.uuid); }), ErrorCode::not_found);
}

TEST_F(Points, ADamagedOneIsNamedAndTheOthersAreListed) {
  const auto store = open();
  const RestorePoint good = store->add_point(make_point(client_, machine_));
  const RestorePoint bad = store->add_point(make_point(client_, machine_));
  ASSERT_THAT(store->points(), SizeIs(2));
  for (const auto& file : files_below(directory_ / "points", ".point")) {
    if (file.string().find(bad.uuid.to_string()) == std::string::npos) continue;
    Bytes bytes = read_file(file);
    bytes[bytes.size() / 2] ^= std::byte{1};
    write_file(file, bytes);
  }
  EXPECT_THAT(store->points(), testing::ElementsAre(summarize(good)));
  ASSERT_THAT(store->damaged_points(), SizeIs(1));
  EXPECT_EQ(store->damaged_points()[0].uuid, bad.uuid);
  EXPECT_EQ(store->damaged_points()[0].number, bad.number);
  EXPECT_EQ(error_of([&] { store->point(bad.uuid); }), ErrorCode::damaged);
}

TEST_F(Points, AreListedWithoutTheirCacheAndWithADestroyedOne) {
  RestorePoint point;
  { point = open()->add_point(make_point(client_, machine_)); }
  write_file(directory_ / "points.sqlite", as_bytes("this is no database, and it is long enough to be looked at"));
  EXPECT_THAT(open()->points(), testing::ElementsAre(summarize(point)));
  std::filesystem::remove(directory_ / "points.sqlite");
  EXPECT_THAT(open(false)->points(), testing::ElementsAre(summarize(point)));
}

TEST_F(Points, ALeaseHoldsTheMachineAndItsBasePointsUntilItDies) {
  const auto store = open();
  const RestorePoint base = store->add_point(make_point(client_, machine_));
  {
    const auto lease = store->lease(client_, machine_, std::vector{base.uuid});
    std::string message;
    EXPECT_EQ(error_of([&] { store->lease(client_, machine_, {}); }, &message), ErrorCode::busy);
    EXPECT_THAT(message, HasSubstr("process " + std::to_string(::getpid()) + ", since 20"));
    EXPECT_EQ(error_of([&] { store->remove_point(base.uuid, true); }), ErrorCode::busy);
    EXPECT_EQ(error_of([&] { open(false)->remove_point(base.uuid, false); }), ErrorCode::busy);
    EXPECT_NO_THROW(store->lease(client_, Uuid::random(), {}));
  }
  EXPECT_NO_THROW(store->lease(client_, machine_, {}));
  store->remove_point(base.uuid, false);
  EXPECT_EQ(error_of([&] { store->lease(client_, machine_, std::vector{base.uuid}); }), ErrorCode::not_found);
}

// Runs `work` in a child that is killed at its end, as by `kill -9`. Returns when it is dead.
template <typename Work>
void in_killed_child(Work&& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      work();
    } catch (...) {
      ::_exit(99);
    }
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the child failed";
}

TEST_F(Points, ADeadSessionsLeaseHoldsNothing) {
  const Uuid base = open()->add_point(make_point(client_, machine_)).uuid;
  in_killed_child([&] {
    static const auto store = open();
    static const auto lease = store->lease(client_, machine_, std::vector{base});
  });
  const auto store = open();
  EXPECT_NO_THROW(store->remove_point(base, false));
  EXPECT_NO_THROW(store->lease(client_, machine_, {}));
}

TEST_F(Points, TwoProcessesCannotWriteAtOnce) {
  int told[2];
  ASSERT_EQ(::pipe(told), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto store = Store::open(directory_, {.socket = "/run/vmferry.sock"});
    if (::write(told[1], "x", 1) != 1) ::_exit(1);
    ::pause();
  }
  char byte;
  ASSERT_EQ(::read(told[0], &byte, 1), 1);
  std::string message;
  EXPECT_EQ(error_of([&] { open(); }, &message), ErrorCode::busy);
  EXPECT_THAT(message, HasSubstr("in use by process " + std::to_string(child)));
  EXPECT_THAT(message, HasSubstr("use --target unix:///run/vmferry.sock, or wait"));
  EXPECT_EQ(open(false)->status().writer_pid, child);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(open());
  ::close(told[0]);
  ::close(told[1]);
}

TEST_F(Points, TheDomainsKeyIsHealedFromAnyCopyAndExportsRoundTrip) {
  const DomainFacts domain = open()->domain();
  const std::string name = domain.uuid.to_string();
  const std::filesystem::path copies[] = {directory_ / "domains" / name / "domain",
                                          directory_ / "domains" / name / "domain.copy1",
                                          directory_ / "packs" / ("domain-" + name)};
  for (const auto& kept : copies) {
    for (const auto& copy : copies)
      if (copy != kept) write_file(copy, as_bytes("damaged"));
    const auto store = open();
    EXPECT_EQ(store->domain().key, domain.key);
    EXPECT_EQ(store->domain().chunking, domain.chunking);
    for (const auto& copy : copies) EXPECT_EQ(as_text(read_file(copy)), export_domain(domain)) << copy;
  }
  const DomainFacts back = import_domain(export_domain(domain));
  EXPECT_EQ(back.uuid, domain.uuid);
  EXPECT_EQ(back.key, domain.key);
  EXPECT_EQ(back.chunking, domain.chunking);
  EXPECT_NE(domain.chunking.gear_seed, 0u);

  const std::string text = export_domain(domain);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string bad = text;
    bad[i] = bad[i] == '0' ? '1' : '0';
    EXPECT_ANY_THROW(import_domain(bad)) << "at " << i;
  }
  for (std::size_t size = 0; size + 1 < text.size(); ++size)
    EXPECT_ANY_THROW(import_domain(text.substr(0, size))) << "cut at " << size;
  for (const auto& copy : copies) std::filesystem::remove(copy);
  std::string message;
  EXPECT_EQ(error_of([&] { open(); }, &message), ErrorCode::damaged);
  EXPECT_THAT(message, HasSubstr("key export"));
}

}  // namespace
}  // namespace vmferry::store
