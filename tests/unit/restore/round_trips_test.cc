// A long line is not waited for: how many answers a restore waits for, one after another, does not grow with the disk or
// with the number of files.
#include <gtest/gtest.h>

#include <fstream>

#include "point_maker.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/support/delayed_transport.h"
#include "tests/support/ntfs_image.h"

namespace vmferry::restore {
namespace {

using namespace std::chrono_literals;
using limits::MiB;
constexpr unsigned hello = 1;

class RoundTrips : public testing::Test {
 protected:
  // What `act` waits for with a session over a line of 25 ms each way, the handshake left out.
  unsigned count(const std::function<void(target::TargetSession&)>& act) {
    test::DelayedPair line = test::delayed_transport(25ms);
    const test::DelayedEnd& end = *line.client;
    const auto session = target_.connect({std::move(line.client), std::move(line.server)});
    act(*session);
    return end.round_trips() - hello;
  }
  DiskRestoreOptions options() {
    DiskRestoreOptions o;
    o.spool_directory = directory_.path();
    return o;
  }

  test::TemporaryDirectory directory_;
  TestTarget target_;
};

TEST_F(RoundTrips, AWholeDisk) {
  const Bytes image = test::random_bytes(1, 40 * MiB);
  std::ofstream(directory_ / "image.raw", std::ios::binary)
      .write(reinterpret_cast<const char*>(image.data()), static_cast<std::streamsize>(image.size()));
  // Small chunks, for a map as deep and wide as that of a large disk.
  const RestorePoint point = target_.add(target_.make_point({{.image = directory_ / "image.raw", .chunk_bytes = 1600}}));
  ASSERT_GE(point.disks[0].image_map.levels, 3);
  DiskRestoreOptions o = options();
  o.format = disk::OutputFormat::raw;
  const unsigned round_trips = count([&](target::TargetSession& session) {
    restore_machine(point, directory_ / "out.raw", o, session, no_events, not_cancelled);
  });
  EXPECT_TRUE(bytes_of(directory_ / "out.raw") == image);
  // The map's levels, two batches of nodes, two of chunks; and a few where the map's thread was behind, which a busy machine
  // decides: chunks are asked for then rather than waited with. One for each batch would be some hundreds.
  EXPECT_LE(round_trips, point.disks[0].image_map.levels + 10u);
  RecordProperty("round_trips", static_cast<int>(round_trips));
}

class SmallFiles : public RoundTrips {
 protected:
  static constexpr int folders = 50, files_per_folder = 200;

  SmallFiles() {
    test::NtfsImage::format(directory_ / "volume.raw", 96 * MiB, {.label = "Data"});
    test::NtfsImage image(directory_ / "volume.raw");
    for (int i = 0; i < folders; ++i)
      for (int j = 0; j < files_per_folder; ++j)
        image.write_file(path_of(i, j), test::text_bytes(static_cast<std::uint64_t>(i * 1000 + j), 3000));
    image.close();
    point_ = target_.add(target_.make_point(
        {{.image = directory_ / "volume.raw", .volumes = {{.range = {0, 96 * MiB}}}, .chunk_bytes = 8192}}));
  }
  static std::string path_of(int folder, int file) {
    return "/Users/Ann/" + std::to_string(folder % 7) + "/" + std::to_string(folder) + "/" + std::to_string(file) + ".txt";
  }
  RestorePoint point_;
};

TEST_F(SmallFiles, ADirectoryOfTenThousand) {
  RestoreResult result;
  const unsigned round_trips = count([&](target::TargetSession& session) {
    result = restore_files(point_, {"", "/Users/Ann"}, directory_ / "out", options(), session, no_events, not_cancelled);
  });
  EXPECT_EQ(result.files, 10'000u);
  EXPECT_TRUE(bytes_of(directory_ / "out/Ann/3/17/45.txt") == test::text_bytes(17'045, 3000));
  EXPECT_LE(round_trips, 20u);
  RecordProperty("round_trips", static_cast<int>(round_trips));
}

// Their order on the disk is not that of their names, and a frame comes whole whenever one chunk of it is asked for.
TEST_F(SmallFiles, AllOfADisksFilesCostLittleMoreThanTheDisk) {
  target::TargetSession& session = target_.session();
  const RestoreResult files =
      restore_files(point_, {"", "/Users/Ann"}, directory_ / "out", options(), session, no_events, not_cancelled);
  DiskRestoreOptions o = options();
  o.format = disk::OutputFormat::raw;
  const RestoreResult disk = restore_machine(point_, directory_ / "out.raw", o, session, no_events, not_cancelled);
  EXPECT_LT(files.received_bytes, disk.received_bytes + disk.received_bytes / 4);
}

TEST_F(SmallFiles, ListingThem) {
  std::size_t rows = 0;
  const unsigned round_trips = count([&](target::TargetSession& session) {
    list_files(point_, {"", "/"}, true, session, [&](const ListRow&) { ++rows; });
  });
  EXPECT_EQ(rows, 10'000u + folders + 7 + 2);
  EXPECT_LE(round_trips, 15u);
  RecordProperty("round_trips", static_cast<int>(round_trips));
}

}  // namespace
}  // namespace vmferry::restore
