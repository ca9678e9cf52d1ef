#include "engine/catalog/catalog.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "engine/catalog/schema.h"
#include "protocol/sqlite.h"
#include "protocol/error.h"
#include "protocol/image_map.h"
#include "tests/support/content.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catalog/some_point.h"

namespace vmferry::catalog {
namespace {

using test::domain_uuid;
using test::some_point;
using test::store_uuid;

const Uuid other_store = Uuid::derived(as_bytes("other store"));
const Uuid web1 = Uuid::derived(as_bytes("web1"));

ChunkId id_of(ByteView bytes) { return chunk_id_of(DomainKey{}, bytes); }

template <typename Do>
void expect_error(ErrorCode code, const std::string& words, Do&& act) {
  try {
    act();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr(words));
  }
}

class CatalogTest : public testing::Test {
 protected:
  std::filesystem::path file() const { return directory_ / "new/catalog.sqlite"; }
  void commit(Catalog& catalog, const RestorePoint& point, const std::vector<Bytes>& nodes = {}) {
    const auto commit = catalog.begin_commit(domain_uuid);
    for (const Bytes& node : nodes) commit->node(id_of(node), node);
    commit->finish(store_uuid, point);
  }
  test::TemporaryDirectory directory_;
};

TEST_F(CatalogTest, RemembersTheLastPointItsNodesAndMadeUpUuidsPerStore) {
  const RestorePoint second = some_point(2);
  const Bytes node = test::random_bytes(1, 4000);
  const Uuid made_up = Uuid::random();
  {
    const auto catalog = Catalog::open(file());
    commit(*catalog, some_point(1));
    const auto commit = catalog->begin_commit(domain_uuid);
    commit->node(id_of(node), node);
    commit->node(id_of(node), node);  // twice is once
    commit->made_up_uuid("disk", "web1/disk0", made_up);
    commit->finish(store_uuid, second);
  }
  const auto catalog = Catalog::open(file());
  EXPECT_EQ(catalog->last_point(store_uuid, web1), second);
  EXPECT_EQ(catalog->last_point(other_store, web1), std::nullopt);
  EXPECT_EQ(catalog->node(domain_uuid, id_of(node)), node);
  EXPECT_EQ(catalog->node(store_uuid, id_of(node)), std::nullopt);  // another domain
  EXPECT_EQ(catalog->made_up_uuid("disk", "web1/disk0"), made_up);
  EXPECT_EQ(catalog->made_up_uuid("machine", "web1/disk0"), std::nullopt);
}

TEST_F(CatalogTest, ACommitThatIsNotFinishedLeavesNothing) {
  const auto catalog = Catalog::open(file());
  commit(*catalog, some_point(1));
  const RestorePoint before = *catalog->last_point(store_uuid, web1);
  const Bytes node = test::random_bytes(1, 4000);
  {
    const auto commit = catalog->begin_commit(domain_uuid);
    commit->node(id_of(node), node);
    commit->made_up_uuid("machine", "web1", Uuid::random());
  }
  EXPECT_EQ(catalog->node(domain_uuid, id_of(node)), std::nullopt);
  EXPECT_EQ(catalog->made_up_uuid("machine", "web1"), std::nullopt);
  EXPECT_EQ(catalog->last_point(store_uuid, web1), before);
  commit(*catalog, some_point(2));  // and the next one works
}

TEST_F(CatalogTest, AProcessKilledInACommitLeavesNothing) {
  commit(*Catalog::open(file()), some_point(1));
  const Bytes node = test::random_bytes(1, 4000);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto catalog = Catalog::open(file());
    const auto commit = catalog->begin_commit(domain_uuid);
    for (std::uint64_t i = 0; i < 3000; ++i) {  // more than the page cache holds: pages are in the log already
      const Bytes other = test::random_bytes(100 + i, 8000);
      commit->node(id_of(other), other);
    }
    commit->node(id_of(node), node);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto catalog = Catalog::open(file());
  EXPECT_EQ(catalog->node(domain_uuid, id_of(node)), std::nullopt);
  EXPECT_EQ(catalog->last_point(store_uuid, web1)->number, 1U);
  commit(*catalog, some_point(2), {node});
  EXPECT_EQ(catalog->node(domain_uuid, id_of(node)), node);
}

TEST_F(CatalogTest, TwoCatalogsOfOneFileSeeEachOthersCommits) {
  const auto first = Catalog::open(file());
  const auto second = Catalog::open(file());
  const Bytes node = test::random_bytes(1, 4000);
  EXPECT_EQ(second->node(domain_uuid, id_of(node)), std::nullopt);
  commit(*first, some_point(1), {node});
  EXPECT_EQ(second->node(domain_uuid, id_of(node)), node);
  commit(*second, some_point(2));
  EXPECT_EQ(first->last_point(store_uuid, web1)->number, 2U);
}

TEST_F(CatalogTest, TheClientsIdentityOutlivesTheCatalog) {
  const Uuid uuid = Catalog::open(file())->client().uuid;
  EXPECT_FALSE(uuid.is_none());
  std::filesystem::remove(file());
  EXPECT_EQ(Catalog::open(file())->client().uuid, uuid);
  const auto mode = std::filesystem::status(file().parent_path() / "client.uuid").permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::ofstream(file().parent_path() / "client.uuid") << "rubbish";
  expect_error(ErrorCode::damaged, "identity", [&] { Catalog::open(file())->client(); });
}

TEST_F(CatalogTest, AMachineIsLockedOnceAtATimeAndOthersAreNot) {
  const auto catalog = Catalog::open(file());
  const auto second = Catalog::open(file());
  auto lock = catalog->lock_machine(web1);
  expect_error(ErrorCode::busy, "being backed up", [&] { second->lock_machine(web1); });
  EXPECT_NE(second->lock_machine(store_uuid), nullptr);
  lock.reset();
  EXPECT_NE(second->lock_machine(web1), nullptr);
}

TEST_F(CatalogTest, ALockDiesWithItsProcess) {
  const auto catalog = Catalog::open(file());
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto lock = Catalog::open(file())->lock_machine(web1);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  expect_error(ErrorCode::busy, "being backed up", [&] { catalog->lock_machine(web1); });
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_NE(catalog->lock_machine(web1), nullptr);
  close(ready[0]);
  close(ready[1]);
}

TEST_F(CatalogTest, ANewerCatalogIsLeftAloneWithASentence) {
  Catalog::open(file());
  open_database(file()).run("PRAGMA user_version=99");
  expect_error(ErrorCode::version, "newer vmferry", [&] { Catalog::open(file()); });
}

TEST_F(CatalogTest, WhatIsNoCatalogIsRefusedAndNotChanged) {
  std::filesystem::create_directories(file().parent_path());
  { open_database(file()).run("CREATE TABLE somebody_elses (x)"); }
  expect_error(ErrorCode::damaged, "no catalog of vmferry", [&] { Catalog::open(file()); });
  EXPECT_EQ(open_database(file()).number("SELECT count(*) FROM sqlite_schema"), 1);

  const std::filesystem::path text = directory_ / "text";
  std::ofstream(text) << std::string(10000, 'x');
  expect_error(ErrorCode::damaged, "move it away", [&] { Catalog::open(text); });
}

TEST_F(CatalogTest, ADamagedCatalogSaysSoAndNeverGivesOtherBytes) {
  std::vector<Bytes> nodes;
  for (std::uint64_t i = 0; i < 300; ++i) nodes.push_back(test::random_bytes(i, 4000));
  commit(*Catalog::open(file()), some_point(1), nodes);
  const auto size = std::filesystem::file_size(file());
  std::fstream raw(file(), std::ios::in | std::ios::out | std::ios::binary);
  raw.seekp(static_cast<std::streamoff>(size / 2));
  raw << std::string(size / 4, '\xff');
  raw.close();
  std::size_t failed = 0;
  try {
    const auto catalog = Catalog::open(file());
    for (const Bytes& node : nodes) {
      try {
        const auto found = catalog->node(domain_uuid, id_of(node));
        failed += found != node ? 1 : 0;  // the caller checks the id
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::damaged) << error.what();
        ++failed;
      }
    }
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::damaged);
    ++failed;
  }
  EXPECT_GT(failed, 0U);
}

// A point whose image map has `entries` entries of its own.
RestorePoint point_with_map(std::uint64_t seed, std::size_t entries, Catalog::Commit& commit) {
  ImageMapWriter writer(DomainKey{}, [&](const ChunkId& id, ByteView node) { commit.node(id, node); });
  for (std::uint64_t i = 0; i < entries; ++i) {
    MapEntry entry{ByteRange{i * 4096, 4096}, MapKind::data, id_of(test::random_bytes(seed * 1000000 + i, 8)), 0};
    writer.add(entry);
  }
  RestorePoint point = some_point(seed);
  PointDisk& disk = point.disks.emplace_back();
  disk.key = "disk0";
  disk.size_bytes = entries * 4096;
  disk.image_map = writer.finish(disk.size_bytes);
  return point;
}

TEST_F(CatalogTest, TrimmingKeepsEveryNodeOfTheLastPointAndDropsTheOthers) {
  const auto catalog = Catalog::open(file());
  const std::size_t entries = 150000;
  RestorePoint last;
  for (std::uint64_t day = 1; day <= 11; ++day) {
    const auto commit = catalog->begin_commit(domain_uuid);
    last = point_with_map(day, entries, *commit);
    commit->finish(store_uuid, last);
  }
  sqlite::Database database = open_database(file());
  const std::int64_t before = database.number("SELECT count(*) FROM nodes");
  catalog->trim_nodes();
  const std::int64_t after = database.number("SELECT count(*) FROM nodes");
  EXPECT_LT(after * 10, before);
  EXPECT_EQ(database.number("SELECT sum(length(body)) FROM nodes"),
            database.number("SELECT value FROM counters WHERE name = 'node_bytes'"));

  class FromCatalog final : public ChunkSource {
   public:
    explicit FromCatalog(Catalog& catalog) : catalog_(catalog) {}
    void get(std::span<const ChunkId> ids, const Use& use) override {
      for (const ChunkId& id : ids) use(id, catalog_.node(domain_uuid, id).value());
    }
    Catalog& catalog_;
  } source(*catalog);
  ImageMapReader reader(last.disks[0].image_map, last.disks[0].size_bytes, source);
  std::size_t seen = 0;
  for (auto entry = reader.at(0); entry; entry = reader.next()) ++seen;
  EXPECT_EQ(seen, entries);
  catalog->trim_nodes();  // nothing to do
  EXPECT_EQ(database.number("SELECT count(*) FROM nodes"), after);
}

}  // namespace
}  // namespace vmferry::catalog
