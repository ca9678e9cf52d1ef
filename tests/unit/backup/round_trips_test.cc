// A backup of an unchanged disk over a long line: nothing waits for an answer but the handshake, with which the backup is
// opened, and the commit; without a catalog also the opening, and the former trees, level by level.
#include "engine/backup/backup_job.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/support/delayed_transport.h"
#include "tests/support/ntfs_image.h"
#include "target-server/receive/serve_session.h"
#include "tests/unit/backup/backup_fixture.h"

namespace vmferry::backup {
namespace {

using namespace std::chrono_literals;
using limits::MiB;
constexpr unsigned hello = 1;

class RoundTripsTest : public BackupTest {
 protected:
  RoundTripsTest() {
    test::NtfsImage::format(disk(), 64 * MiB, {.label = "Data"});
    test::NtfsImage image(disk());
    for (std::uint64_t i = 0; i < 2000; ++i)
      image.write_file("/folder " + std::to_string(i % 40) + "/" + std::to_string(i), test::text_bytes(i, 1000 + i));
    image.close();
  }

  // What a backup waits for, the handshake left out.
  unsigned count(RestorePoint& point) {
    test::DelayedPair line = test::delayed_transport(25ms);
    const test::DelayedEnd& end = *line.client;
    std::thread server([this, served = std::move(line.server)] {
      try {
        target_server::serve_session(*served, *store_);
      } catch (const Error&) {
      }
    });
    unsigned round_trips = 0;
    {
      const auto catalog = catalog::Catalog::open(catalog_file());
      BackupOptions options;
      options.name = "web1";
      options.spool_directory = directory_.path();
      catalog::SignatureStore signatures(signature_file());
      options.signatures = &signatures;
      const Source source = Source::open(disk(), {});
      BackupEvents silent;
      BackupJob job(source, options, *catalog, silent, cancel_);
      const auto session = target::TargetSession::open(std::move(line.client), {catalog->client().uuid, "host1"}, {},
                                                       job.early_opening());
      point = job.run(*session);
      round_trips = end.round_trips() - hello;
    }
    server.join();
    return round_trips;
  }
};

TEST_F(RoundTripsTest, OfAnUnchangedDisk) {
  run();
  RestorePoint point;
  const unsigned round_trips = count(point);
  EXPECT_EQ(point.number, 2U);
  EXPECT_EQ(point.report.new_chunks, 0U);
  EXPECT_LE(round_trips, 1U);
  RecordProperty("round_trips", static_cast<int>(round_trips));
}

TEST_F(RoundTripsTest, WithoutACatalog) {
  const RestorePoint first = run();
  const auto folder = catalog_file().parent_path();
  std::filesystem::rename(folder / "client.uuid", directory_ / "client.uuid");
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  std::filesystem::rename(directory_ / "client.uuid", folder / "client.uuid");
  RestorePoint point;
  const unsigned round_trips = count(point);
  EXPECT_EQ(point.number, 2U);
  EXPECT_EQ(point.report.new_chunks, 0U);
  const PointDisk& disk = first.disks.at(0);
  ASSERT_GE(disk.volumes.at(0).file_index.levels, 2);  // how many is a matter of the domain's key
  // The list and the point for the machine's identity, the opening, the trees, the last offers, the commit.
  EXPECT_LE(round_trips, 2U + 1U + std::max(disk.image_map.levels, disk.volumes[0].file_index.levels) + 2U);
  RecordProperty("round_trips", static_cast<int>(round_trips));
}

}  // namespace
}  // namespace vmferry::backup
