// The catalog's account of why a backup sent what it sent: it comes back as it was put in, bounded, and with the backup
// or not at all.
#include "engine/catalog/traffic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "engine/catalog/catalog.h"
#include "engine/catalog/schema.h"
#include "protocol/error.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/catalog/some_point.h"

namespace vmferry::catalog {
namespace {

using test::domain_uuid;
using test::some_point;
using test::store_uuid;

TrafficRow row(std::string path, std::uint64_t sent, std::uint32_t volume = 2) {
  TrafficRow row;
  row.disk = "scsi0:0";
  row.volume = volume;
  row.path = std::move(path);
  row.bytes = {sent * 5, sent * 2, sent, sent * 2, sent, sent / 10};
  return row;
}

PointTraffic traffic_of(const RestorePoint& point, std::vector<TrafficRow> rows) {
  PointTraffic traffic;
  traffic.point.identify(store_uuid, point);
  traffic.point.trees = {900, 0, 800, 100, 77, 60};
  traffic.point.unchanged_streams = 4711;
  traffic.point.unchanged_bytes = std::uint64_t{1} << 40;
  for (const TrafficRow& row : rows) traffic.point.streams += row.bytes;
  traffic.rows = std::move(rows);
  return traffic;
}

class TrafficTest : public testing::Test {
 protected:
  std::filesystem::path file() const { return directory_ / "catalog.sqlite"; }
  static void commit(Catalog& catalog, const RestorePoint& point, const PointTraffic& traffic) {
    const auto commit = catalog.begin_commit(domain_uuid);
    commit->traffic(traffic);
    commit->finish(store_uuid, point);
  }
  test::TemporaryDirectory directory_;
};

TEST_F(TrafficTest, ComesBackAsItWasPutInFromTheFileOnDisk) {
  const RestorePoint point = some_point(12);
  std::vector<TrafficRow> rows{row("/Users/ann/a.db", 500), row("/Users/ann/b.db", 40), row("/Users/ann [index]", 3),
                               row("[partition tables and gaps]", 1, 0)};
  rows[2].kind = TrafficKind::stream;
  rows[3].kind = TrafficKind::rest;
  rows[3].disk = "scsi0:1";
  const PointTraffic traffic = traffic_of(point, rows);
  commit(*Catalog::open(file()), point, traffic);

  const auto catalog = Catalog::open(file());
  EXPECT_EQ(catalog->traffic(Uuid::random()), std::nullopt);
  const auto found = catalog->traffic(point.uuid);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->point, traffic.point);
  EXPECT_THAT(found->rows, testing::UnorderedElementsAreArray(traffic.rows));
  EXPECT_EQ(found->point.sent_bytes, 12'000U);
}

TEST_F(TrafficTest, PointsAreListedNewestFirstPerNameOrAll) {
  const auto catalog = Catalog::open(file());
  for (const std::uint64_t number : {1, 3, 2}) {
    const RestorePoint point = some_point(number);
    commit(*catalog, point, traffic_of(point, {}));
  }
  const RestorePoint other = some_point(9, "web2");
  commit(*catalog, other, traffic_of(other, {}));
  const auto points = catalog->traffic_points("web1");
  ASSERT_EQ(points.size(), 3U);
  EXPECT_EQ(points[0].number, 3U);
  EXPECT_EQ(points[2].number, 1U);
  EXPECT_EQ(catalog->traffic_points("").size(), 4U);
  EXPECT_TRUE(catalog->traffic_points("web").empty());
}

TEST_F(TrafficTest, ABackupThatIsNotCommittedLeavesNone) {
  const auto catalog = Catalog::open(file());
  const RestorePoint point = some_point(1);
  catalog->begin_commit(domain_uuid)->traffic(traffic_of(point, {row("/a", 1)}));
  EXPECT_TRUE(catalog->traffic_points("").empty());
}

TEST_F(TrafficTest, AMachinesOldestPointsGoAndNobodyElses) {
  const auto catalog = Catalog::open(file());
  const RestorePoint other = some_point(1, "web2");
  commit(*catalog, other, traffic_of(other, {}));
  sqlite::Database database = open_database(file());
  {  // all nights but the last two at once: each commit waits for the disk
    sqlite::Transaction transaction(database);
    sqlite::Statement insert(
        database,
        "INSERT INTO traffic (store, machine, point, machine_name, number, taken_ms, totals, row_bytes, "
        "rows) SELECT store, ?, randomblob(16), 'web1', ?, taken_ms, totals, row_bytes, rows FROM "
        "traffic WHERE machine_name = 'web2'");
    const Uuid machine = some_point(1).machine_uuid;
    for (std::int64_t number = 1; number <= 400; ++number) insert.bind(1, machine.view()).bind(2, number).run();
    transaction.commit();
  }
  for (const std::uint64_t number : {401, 402}) {
    const RestorePoint point = some_point(number);
    commit(*catalog, point, traffic_of(point, {row("/a", number)}));
  }
  EXPECT_EQ(catalog->traffic_points("web1").size(), traffic_points_max);
  EXPECT_EQ(database.number("SELECT min(number) FROM traffic WHERE machine_name = 'web1'"), 3);
  EXPECT_EQ(catalog->traffic_points("web2").size(), 1U);
}

TEST_F(TrafficTest, ACatalogOfTheFirstSchemaIsMigratedAndLosesNothing) {
  const RestorePoint point = some_point(1);
  {
    const auto catalog = Catalog::open(file());
    const auto commit = catalog->begin_commit(domain_uuid);
    commit->made_up_uuid("machine", "web1", point.machine_uuid);
    commit->finish(store_uuid, point);
  }
  open_database(file()).run("DROP TABLE traffic; PRAGMA user_version=1");
  const auto catalog = Catalog::open(file());
  EXPECT_EQ(catalog->last_point(store_uuid, point.machine_uuid), point);
  EXPECT_EQ(catalog->made_up_uuid("machine", "web1"), point.machine_uuid);
  EXPECT_TRUE(catalog->traffic_points("").empty());
  EXPECT_EQ(open_database(file()).number("PRAGMA user_version"), schema_version);
  const RestorePoint next = some_point(2);
  commit(*catalog, next, traffic_of(next, {row("/a", 1)}));
  EXPECT_EQ(catalog->traffic_points("web1").size(), 1U);
}

TEST(TrafficRowsTest, OnlyTheLargestStayAndTheOthersAreSummed) {
  std::vector<TrafficRow> rows;
  TrafficBytes all;
  for (std::uint64_t i = 0; i < 1000; ++i) rows.push_back(row("/" + std::to_string(i), (i * 7919) % 1000));
  for (const TrafficRow& row : rows) all += row.bytes;
  keep_largest_rows(rows, 100);
  ASSERT_EQ(rows.size(), 101U);
  TrafficBytes kept;
  std::uint64_t files = 0;
  for (const TrafficRow& row : rows) kept += row.bytes, files += row.files;
  EXPECT_EQ(kept, all);
  EXPECT_EQ(files, 1000U);
  EXPECT_EQ(rows.back().path, "[smaller ones]");
  for (std::size_t i = 0; i < 100; ++i) EXPECT_GE(rows[i].bytes.sent, 900U);
}

TEST(TrafficRowsTest, ARowOfARealNightTakesAFewBytes) {
  std::mt19937_64 random(7);
  std::vector<TrafficRow> rows;
  for (int i = 0; i < 5000; ++i) {
    const std::uint64_t sent = random() % 100'000;
    rows.push_back(row("/Program Files/Common Files/vendor" + std::to_string(random() % 50) + "/lib/component-" +
                           std::to_string(random() % 100'000) + ".dll",
                       sent));
  }
  const PackedRows packed = pack_rows(rows);
  EXPECT_LT(packed.packed.size(), rows.size() * 24);
  EXPECT_THAT(unpack_rows(packed.packed, packed.bytes), testing::UnorderedElementsAreArray(rows));
}

TEST(TrafficRowsTest, DamagedRowsAreAnErrorAndNeverACrash) {
  std::vector<TrafficRow> rows;
  for (std::uint64_t i = 0; i < 50; ++i) rows.push_back(row("/some/directory/file" + std::to_string(i), i));
  const PackedRows packed = pack_rows(rows);
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    Bytes bytes = packed.packed;
    for (int change = 0; change < 3; ++change) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    if (random() % 3 == 0) bytes.resize(random() % bytes.size());
    try {
      unpack_rows(bytes, packed.bytes);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::damaged) << error.what();
    }
  }
  EXPECT_THROW(unpack_rows(packed.packed, ~std::uint64_t{0}), Error);
  EXPECT_THROW(unpack_rows({}, 0), Error);
}

}  // namespace
}  // namespace vmferry::catalog
