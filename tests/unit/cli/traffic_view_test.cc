// What `vmferry explain` shows: every byte in one line, the lines that tell something, and names a person can act on.
#include "engine/cli/traffic_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::cli {
namespace {

using catalog::PointTraffic;
using catalog::TrafficBytes;
using catalog::TrafficKind;
using catalog::TrafficRow;
using testing::ElementsAre;
using testing::HasSubstr;

using limits::KiB;
using limits::MiB;

TrafficRow row(std::string path, std::uint64_t sent, TrafficKind kind = TrafficKind::file) {
  TrafficRow row;
  row.disk = "disk0";
  row.volume = 2;
  row.kind = kind;
  row.path = std::move(path);
  row.bytes = {sent * 6, sent * 3, sent * 2, sent, sent, sent / 4};
  return row;
}

PointTraffic traffic_of(std::vector<TrafficRow> rows) {
  PointTraffic traffic;
  traffic.point.machine_name = "web1";
  traffic.point.number = 12;
  for (const TrafficRow& row : rows) traffic.point.streams += row.bytes;
  traffic.point.sent_bytes = traffic.point.streams.sent;
  traffic.rows = std::move(rows);
  return traffic;
}

TrafficBytes sum(const TrafficLines& list) {
  TrafficBytes bytes = list.others.bytes;
  for (const TrafficLine& line : list.lines) bytes += line.bytes;
  return bytes;
}

std::vector<std::string> paths(const TrafficLines& list) {
  std::vector<std::string> names;
  for (const TrafficLine& line : list.lines) names.push_back(line.path + (line.is_rest ? " (the rest)" : ""));
  return names;
}

TEST(TrafficViewTest, ADirectoryThatOnlyHoldsAnotherHasNoLineAndSmallOnesAreSummedAbove) {
  std::vector<TrafficRow> rows{row("/data/db/main/pages.db", 500), row("/data/db/main/log.db", 100)};
  for (int i = 0; i < 100; ++i) rows.push_back(row("/Users/u" + std::to_string(i) + "/mail/box", 4));
  rows.push_back(row("/Windows/notes.txt", 1));
  const TrafficLines list = largest_directories(traffic_of(rows), 20, 3);
  EXPECT_THAT(paths(list), ElementsAre("/data/db/main", "/Users"));
  EXPECT_EQ(list.lines[0].bytes.sent, 600U);
  EXPECT_EQ(list.lines[1].bytes.sent, 400U);
  EXPECT_EQ(list.lines[1].streams, 100U);
  EXPECT_EQ(list.others.bytes.sent, 1U);
}

TEST(TrafficViewTest, AParentWithALineBelowShowsOnlyTheRest) {
  const TrafficLines list = largest_directories(
      traffic_of({row("/a/big/x", 500), row("/a/1/x", 30), row("/a/2/x", 20), row("/a.b/x", 100), row("/a", 60)}), 20,
      5);
  EXPECT_THAT(paths(list), ElementsAre("/a/big", "/a.b", "/ (the rest)", "/a (the rest)"));
  EXPECT_EQ(list.lines[3].bytes.sent, 50U);
}

TEST(TrafficViewTest, ADirectorysIndexBelongsToItAndWhatIsNoFileStandsAlone) {
  const TrafficLines list = largest_directories(
      traffic_of({row("/a/b [index]", 50, TrafficKind::stream), row("/a/b/x:zone", 50, TrafficKind::stream),
                  row("/ [index]", 60, TrafficKind::stream), row("[free and unowned clusters]", 70, TrafficKind::rest),
                  row("[lost]/x", 80)}),
      20, 3);
  EXPECT_THAT(paths(list), ElementsAre("/a/b", "[lost]", "[free and unowned clusters]", "/ (the rest)"));
}

TEST(TrafficViewTest, WhereThereAreSeveralVolumesEachLineSaysWhich) {
  std::vector<TrafficRow> rows{row("/x/a", 10), row("/x/a", 20),
                               row("[partition tables and gaps]", 5, TrafficKind::rest)};
  rows[1].volume = 3;
  rows[2].volume = 0;
  EXPECT_THAT(paths(largest_directories(traffic_of(rows), 20, 3)),
              ElementsAre("volume 3:/x", "volume 2:/x", "[partition tables and gaps]"));
  rows[1].disk = "scsi0:1";
  EXPECT_THAT(paths(largest_files(traffic_of(rows), 20)),
              ElementsAre("scsi0:1 volume 3:/x/a", "disk0 volume 2:/x/a", "disk0:[partition tables and gaps]"));
}

TEST(TrafficViewTest, LinesAddUpWhateverTheTreeTheLimitAndTheShare) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<TrafficRow> rows;
    for (std::uint64_t i = random() % 60; i > 0; --i) {
      std::string path;
      for (std::uint64_t depth = random() % 6; depth > 0; --depth) path += std::string("/") + "ab."[random() % 3] + "c";
      rows.push_back(row(path + "/f" + std::to_string(i), random() % 1000));
      rows.back().volume = static_cast<std::uint32_t>(1 + random() % 3);
      if (random() % 8 == 0) rows.back().kind = TrafficKind::rest;
    }
    const PointTraffic traffic = traffic_of(rows);
    for (const std::size_t limit : {std::size_t{0}, std::size_t{3}, std::size_t{1000}}) {
      EXPECT_EQ(sum(largest_files(traffic, limit)), traffic.point.streams);
      for (const unsigned percent : {0U, 3U, 40U, 100U}) {
        const TrafficLines list = largest_directories(traffic, limit, percent);
        EXPECT_EQ(sum(list), traffic.point.streams);
        EXPECT_LE(list.lines.size(), limit);
        std::set<std::string> names;
        for (const TrafficLine& line : list.lines) EXPECT_TRUE(names.insert(line.path).second) << line.path;
      }
    }
  }
}

TEST(TrafficViewTest, FiftyThousandDeepPathsTakeNoLongTime) {
  std::string deep;
  for (int i = 0; i < 500; ++i) deep += "/d";
  std::vector<TrafficRow> rows;
  for (std::uint64_t i = 0; i < catalog::traffic_rows_max; ++i) rows.push_back(row(deep + std::to_string(i) + "/x", 1));
  const TrafficLines list = largest_directories(traffic_of(rows), 20, 3);
  ASSERT_EQ(list.lines.size(), 1U);
  EXPECT_EQ(list.lines[0].bytes.sent, catalog::traffic_rows_max);
}

PointTraffic a_night() {
  PointTraffic traffic =
      traffic_of({row("/x/y.db", 12 * MiB), row("/x/z.db", 4 * MiB), row("/evil\x1b[2Jname", 3 * MiB)});
  traffic.point.streams.delta_sent = 15 * MiB;
  traffic.point.streams.delta = 310 * MiB;
  traffic.point.unchanged_bytes = 1000 * MiB;
  traffic.point.unchanged_streams = 18'432;
  traffic.point.trees = {4 * MiB, 0, 4 * MiB, 0, MiB, MiB};
  traffic.point.sent_bytes = 21 * MiB;
  return traffic;
}

TEST(TrafficViewTest, TheFirstSentenceSaysHowMuchAndOfWhat) {
  const PointTraffic traffic = a_night();
  EXPECT_EQ(traffic_sentence(traffic.point),
            "21.0 MiB sent for 1.1 GiB read: 15.0 MiB as deltas of 310.0 MiB of changed chunks, 4.0 MiB whole for 19.0 "
            "MiB, 1.0 "
            "MiB file system trees, 1.0 MiB protocol");
  EXPECT_EQ(traffic_sentence({}), "0 B sent for 0 B read");
}

TEST(TrafficViewTest, TheTablesSumIsWhatTheBackupSentAndNothingReachesTheTerminal) {
  const PointTraffic traffic = a_night();
  const std::string table = traffic_table("FILE", largest_files(traffic, 2), traffic.point);
  EXPECT_THAT(table, HasSubstr("(1 others)"));
  EXPECT_THAT(table, HasSubstr("(18,432 unchanged)"));
  EXPECT_THAT(table, HasSubstr("(file system trees)"));
  EXPECT_THAT(table, HasSubstr("(protocol)"));
  const std::string last = table.substr(table.rfind('\n', table.size() - 2) + 1);
  EXPECT_TRUE(last.starts_with("21.0 MiB")) << table;
  EXPECT_THAT(traffic_table("FILE", largest_files(traffic, 9), traffic.point), HasSubstr("/evil\\x1b[2Jname"));
}

TEST(TrafficViewTest, ABackupEndsWithTwoLinesOrNone) {
  EXPECT_EQ(traffic_summary(a_night()),
            "  deltas      15.0 MiB  for 310.0 MiB of changed chunks; 4.0 MiB for 19.0 MiB of new ones\n"
            "  largest     12.0 MiB  /x/y.db, /x/z.db 4.0 MiB, /evil\\x1b[2Jname 3.0 MiB\n");
  EXPECT_EQ(traffic_summary({}), "");
}

TEST(TrafficViewTest, AProgramGetsTheSameNumbers) {
  const PointTraffic traffic = a_night();
  const nlohmann::json json = traffic_json(traffic, 2);
  EXPECT_EQ(json["sent_bytes"], 21 * MiB);
  EXPECT_EQ(json["files"]["lines"].size(), 2U);
  EXPECT_EQ(json["files"]["lines"][0]["path"], "/x/y.db");
  EXPECT_EQ(json["files"]["others"]["streams"], 1);
  std::uint64_t sent = json["trees"]["sent_bytes"].get<std::uint64_t>() + json["other_sent_bytes"].get<std::uint64_t>();
  for (const auto& line : json["directories"]["lines"]) sent += line["sent_bytes"].get<std::uint64_t>();
  EXPECT_EQ(sent + json["directories"]["others"]["sent_bytes"].get<std::uint64_t>(), 21 * MiB);
}

class PickTrafficTest : public testing::Test {
 protected:
  static catalog::TrafficPoint point(const std::string& machine, std::uint64_t number, std::int64_t taken_ms,
                                     const std::string& store = "store") {
    catalog::TrafficPoint point;
    point.point = Uuid::random();
    point.machine_name = "web1";
    point.machine = Uuid::derived(as_bytes(machine));
    point.store = Uuid::derived(as_bytes(store));
    point.number = number;
    point.taken_ms = taken_ms;
    return point;
  }
  catalog::TrafficPoint pick(const std::string& text) const {
    return pick_traffic(parse_point_name(text), points_, "host1", Uuid::derived(as_bytes("client")));
  }
  void expect_error(ErrorCode code, const std::string& words, const std::string& text) const {
    try {
      pick(text);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      EXPECT_THAT(error.what(), HasSubstr(words));
    }
  }
  // web1 was another machine once, and is backed up to two stores.
  std::vector<catalog::TrafficPoint> points_{point("old", 7, 100), point("old", 8, 200), point("new", 1, 300),
                                             point("new", 2, 400), point("new", 90, 350, "second store")};
};

TEST_F(PickTrafficTest, ANameMeansTheMachineAndStoreOfItsNewestBackup) {
  EXPECT_EQ(pick("web1"), points_[3]);
  EXPECT_EQ(pick("web1@1"), points_[2]);
  EXPECT_EQ(pick("web1@90"), points_[4]);
  EXPECT_EQ(pick("web1@7"), points_[0]);
  EXPECT_EQ(pick("host1/web1@latest"), points_[3]);
  EXPECT_EQ(pick("web1@id:" + to_hex(points_[1].point.view()).substr(0, 12)), points_[1]);
}

TEST_F(PickTrafficTest, ErrorsSayWhatToDo) {
  expect_error(ErrorCode::not_found, "explain --points", "web2");
  expect_error(ErrorCode::not_found, "from 1 to 90", "web1@3");
  expect_error(ErrorCode::usage, "on that controller", "other/web1");
}

}  // namespace
}  // namespace vmferry::cli
