// Backups of a disk with NTFS: what changed travels, free space does not, and every allocated byte comes back.
#include <algorithm>
#include <cstring>

#include "protocol/limits.h"
#include "protocol/sqlite.h"
#include "tests/support/content.h"
#include "tests/support/disk_image.h"
#include "tests/support/ntfs_image.h"
#include "tests/unit/backup/backup_fixture.h"

namespace vmferry::backup {
namespace {

using limits::MiB;

class NtfsDiskTest : public BackupTest {
 protected:
  NtfsDiskTest() {
    const test::DiskImage image = test::make_disk(
        disk(), 96 * MiB, test::PartitionTable::gpt, {{.name = "Data", .ntfs = test::NtfsFormat{.label = "Data"}}});
    volume_ = image.partitions[0];
    test::NtfsImage ntfs(disk(), volume_);
    for (std::uint64_t i = 0; i < 200; ++i)
      ntfs.write_file("/small/" + std::to_string(i), test::text_bytes(i, 2000 + 37 * i));
    ntfs.write_file("/large.bin", test::random_bytes(1000, 8 * MiB));
    ntfs.write_interleaved({{"/a.bin", test::random_bytes(1001, 2 * MiB)}, {"/b.bin", test::random_bytes(1002, 2 * MiB)}},
                           64 * 1024);
    ntfs.write_sparse("/sparse.bin", 20 * MiB, {{5 * MiB, test::random_bytes(1003, 300000)}});
    ntfs.dirty_free_space(0.3, 5);
    ntfs.close();
  }

  void change_a_day() {
    test::NtfsImage ntfs(disk(), volume_);
    ntfs.overwrite("/large.bin", 3 * MiB, test::random_bytes(2000, 10000));
    ntfs.append("/a.bin", test::random_bytes(2001, 100000));
    ntfs.rename("/b.bin", "/moved/b.bin");
    ntfs.write_file("/new.txt", test::text_bytes(2002, 50000));
    ntfs.remove("/small/7");
    ntfs.close();
  }

  // Every cluster of the file is in the point as data or zeros.
  void expect_kept(const Judged& judged, const std::vector<ByteRange>& ranges) {
    for (const ByteRange& range : ranges)
      for (const ByteRange& out : judged.left_out_ranges)
        EXPECT_TRUE(volume_.offset + range.end() <= out.offset || out.end() <= volume_.offset + range.offset);
  }

  ByteRange volume_;
};

TEST_F(NtfsDiskTest, EveryAllocatedByteComesBackAndFreeSpaceStaysBehind) {
  const RestorePoint point = run();
  ASSERT_TRUE(point.report.warnings.empty()) << point.report.warnings[0].message;
  const Judged judged = judge(point);
  EXPECT_GT(judged.left_out, 60 * MiB);
  EXPECT_LT(point.report.new_bytes, 18 * MiB);
  ASSERT_EQ(point.disks[0].volumes.size(), 1U);
  EXPECT_TRUE(point.disks[0].volumes[0].cracked);
  EXPECT_EQ(point.disks[0].volumes[0].label, "Data");
  EXPECT_GE(point.report.files, 204U);
  test::NtfsImage ntfs(disk(), volume_, test::NtfsAccess::read_only);
  for (const char* path : {"/large.bin", "/a.bin", "/b.bin", "/sparse.bin", "/small/100"}) expect_kept(judged, ntfs.ranges(path));

  const auto source = store_->chunk_source();
  FileIndexReader index(point.disks[0].volumes[0].file_index, *source);
  const auto large = index.find_path("large.bin");
  ASSERT_TRUE(large);
  EXPECT_EQ(large->data_bytes, 8 * MiB);
}

TEST_F(NtfsDiskTest, TheNextDaySendsWhatChanged) {
  run();
  change_a_day();
  const RestorePoint second = run();
  judge(second);
  // The changed chunk of 8 MiB, the tail of a.bin, the new file, some of $MFT and the log.
  EXPECT_LT(second.report.new_bytes, 5 * MiB);
  EXPECT_LT(second.report.new_chunks, 60U);
  EXPECT_TRUE(second.report.warnings.empty());

  // The same cuts as without a former point: a machine of another name makes the same map.
  BackupOptions other;
  other.name = "web2";
  const RestorePoint alone = run(other);
  EXPECT_EQ(alone.report.new_chunks, 0U);
  judge(alone);
}

TEST_F(NtfsDiskTest, AnUnchangedDiskSendsAlmostNothing) {
  run();
  const RestorePoint second = run();
  EXPECT_EQ(second.report.new_chunks, 0U);
  EXPECT_LT(second.report.sent_bytes, 4000U);
  judge(second);
}

TEST_F(NtfsDiskTest, AVolumeThatCannotBeCrackedAnyMoreIsNotSentAgain) {
  run();
  // The MFT's first record is gone, the boot sector is as it was: it is called NTFS still.
  const Bytes boot = read_at(disk(), volume_.offset, 512);
  std::uint64_t mft_cluster = 0;
  std::memcpy(&mft_cluster, boot.data() + 48, 8);
  const Bytes record = read_at(disk(), volume_.offset + mft_cluster * 4096, 4096);
  write_at(disk(), volume_.offset + mft_cluster * 4096, Bytes(4096, std::byte{0xee}));
  const RestorePoint second = run();
  judge(second);
  EXPECT_FALSE(second.disks[0].volumes[0].cracked);
  std::vector<std::string> codes;
  for (const Warning& warning : second.report.warnings) codes.push_back(warning.code);
  EXPECT_THAT(codes, testing::UnorderedElementsAre("volume_not_cracked", "volume_no_longer_cracked"));
  // 30 % of the free space is dirty and comes now; what was there in one piece does not.
  const std::uint64_t free_dirty = 28 * MiB;
  EXPECT_LT(second.report.new_bytes, free_dirty + 8 * MiB);

  // And when it can be again, nothing of the files travels twice.
  write_at(disk(), volume_.offset + mft_cluster * 4096, record);
  const RestorePoint third = run();
  judge(third);
  EXPECT_TRUE(third.disks[0].volumes[0].cracked);
  EXPECT_TRUE(third.report.warnings.empty());
  EXPECT_EQ(third.report.new_chunks, 0U);
}

TEST_F(NtfsDiskTest, WithExactEveryByteIsKept) {
  BackupOptions exact;
  exact.keep.exact = true;
  const RestorePoint point = run(exact);
  EXPECT_TRUE(point.exact);
  EXPECT_EQ(judge(point).left_out, 0U);
}

TEST_F(NtfsDiskTest, ACatalogWithWrongNodesMakesTheBackupSlowerNotWrong) {
  run();
  {
    sqlite::Database database(catalog_file(), sqlite::Database::Mode::write, {"the catalog", ""});
    database.run("UPDATE nodes SET body = zeroblob(length(body))");
  }
  const RestorePoint second = run();
  judge(second);
  EXPECT_EQ(second.report.new_chunks, 0U);
}

// A target that cannot give back any chunk.
class LossySession final : public WrappedSession, public ChunkSource {
 public:
  using WrappedSession::WrappedSession;
  ChunkSource& chunks() override { return *this; }
  void get(std::span<const ChunkId> ids, const Use&) override {
    throw Error(ErrorCode::damaged, "a chunk is missing", ids[0].to_string());
  }
};

TEST_F(NtfsDiskTest, ABasePointWhoseTreesAreLostIsDoneWithoutAndSaid) {
  run();
  change_a_day();
  std::filesystem::remove(catalog_file());
  std::optional<LossySession> lossy;
  const RestorePoint second = run_with({}, [&](target::TargetSession& real) -> target::TargetSession& {
    return lossy.emplace(real);
  });
  judge(second);
  EXPECT_LT(second.report.new_bytes, 5 * MiB);  // all was offered; what the target has stayed there
  EXPECT_THAT(second.report.notes, testing::Contains(testing::HasSubstr("the backup was made without it")));
}

}  // namespace
}  // namespace vmferry::backup
