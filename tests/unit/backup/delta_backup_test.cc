// Deltas through the whole of a backup: what changed below the chunk travels, and whatever goes wrong with a delta costs
// bytes, never content.
#include <algorithm>

#include "protocol/delta/signature.h"
#include "protocol/limits.h"
#include "protocol/sqlite.h"
#include "tests/support/content.h"
#include "tests/support/disk_image.h"
#include "tests/support/ntfs_image.h"
#include "tests/unit/backup/backup_fixture.h"

namespace vmferry::backup {
namespace {

using limits::KiB;
using limits::MiB;

class DeltaBackupTest : public BackupTest {
 protected:
  DeltaBackupTest() {
    const test::DiskImage image = test::make_disk(
        disk(), 64 * MiB, test::PartitionTable::gpt, {{.name = "Data", .ntfs = test::NtfsFormat{.label = "Data"}}});
    volume_ = image.partitions[0];
    test::NtfsImage ntfs(disk(), volume_);
    ntfs.write_file("/data.db", test::random_bytes(1, 8 * MiB));
    ntfs.write_file("/report.doc", test::random_bytes(2, MiB));
    for (std::uint64_t i = 0; i < 100; ++i)
      ntfs.write_file("/small/" + std::to_string(i), test::random_bytes(100 + i, 20 * KiB));
    ntfs.close();
  }

  // A page of 4 KiB in each of the 8 MiB's 64 stretches.
  void update_pages(std::uint64_t seed) {
    test::NtfsImage ntfs(disk(), volume_);
    for (std::uint64_t i = 0; i < 64; ++i)
      ntfs.overwrite("/data.db", i * 128 * KiB + 8 * KiB, test::random_bytes(seed + i, 4 * KiB));
    ntfs.close();
  }

  ByteRange volume_;
};

TEST_F(DeltaBackupTest, PagesChangedInPlaceSendThePages) {
  run();
  update_pages(1000);
  const RestorePoint point = run();
  judge(point);
  EXPECT_GE(point.report.new_bytes, 4 * MiB) << "chunks that hold a changed page";
  EXPECT_GE(point.report.delta_bytes, 4 * MiB);
  EXPECT_EQ(point.report.whole_again_chunks, 0U);
  EXPECT_LT(point.report.sent_bytes, 64 * 4 * KiB + 100 * KiB);
}

TEST_F(DeltaBackupTest, BytesInsertedInTheMiddleSendThemselves) {
  run();
  Bytes content = test::random_bytes(1, 8 * MiB);
  const Bytes inserted = test::random_bytes(5, 10'000);
  content.insert(content.begin() + 3'000'000, inserted.begin(), inserted.end());
  {
    test::NtfsImage ntfs(disk(), volume_);
    ntfs.write_file("/data.db", content);
    ntfs.close();
  }
  const RestorePoint point = run();
  judge(point);
  EXPECT_LT(point.report.sent_bytes, 100 * KiB);
}

TEST_F(DeltaBackupTest, AFileSavedUnderItsNameAnewBuildsOnTheOldOne) {
  run();
  Bytes content = test::random_bytes(2, MiB);
  for (std::size_t i = 0; i < 8; ++i) {
    const Bytes edit = test::random_bytes(50 + i, 100);
    std::copy(edit.begin(), edit.end(), content.begin() + static_cast<std::ptrdiff_t>(i * 120'000 + 500));
  }
  {
    test::NtfsImage ntfs(disk(), volume_);
    ntfs.write_file("/~report.tmp", content);
    ntfs.remove("/report.doc");
    ntfs.rename("/~report.tmp", "/report.doc");
    ntfs.close();
  }
  const RestorePoint point = run();
  judge(point);
  EXPECT_LT(point.report.sent_bytes, 100 * KiB);
}

TEST_F(DeltaBackupTest, ANextVersionInANewFolderBuildsOnTheOneOfTheSameName) {
  run();
  Bytes content = test::random_bytes(1, 8 * MiB);
  for (std::size_t i = 0; i < 60; ++i) content[i * 130'000] ^= std::byte{1};
  {
    test::NtfsImage ntfs(disk(), volume_);
    ntfs.write_file("/next/version/data.db", content);
    ntfs.close();
  }
  const RestorePoint point = run();
  judge(point);
  EXPECT_GT(point.report.new_bytes, 3 * MiB);
  EXPECT_LT(point.report.sent_bytes, 200 * KiB);
}

TEST_F(DeltaBackupTest, AnUnchangedDiskSendsNextToNothing) {
  run();
  const RestorePoint point = run();
  EXPECT_LT(point.report.sent_bytes, 4 * KiB);
}

TEST_F(DeltaBackupTest, ALostSignatureFileCostsBytesOnceAndIsMadeAgain) {
  run();
  std::filesystem::remove(signature_file());
  update_pages(1000);
  const RestorePoint without = run();
  judge(without);
  EXPECT_EQ(without.report.delta_bytes, 0U);
  EXPECT_GT(without.report.sent_bytes, 4 * MiB);
  update_pages(2000);
  const RestorePoint again = run();
  judge(again);
  EXPECT_LT(again.report.sent_bytes, 64 * 4 * KiB + 100 * KiB);
}

TEST_F(DeltaBackupTest, SignaturesOfOtherContentCostBytesNotContent) {
  run();
  {  // every signature is another chunk's
    sqlite::Database database(signature_file(), sqlite::Database::Mode::write, {"the signatures", "delete them"});
    database.run("UPDATE signatures SET body = (SELECT body FROM signatures AS other WHERE other.number = "
                 "(signatures.number % (SELECT count(*) FROM signatures)) + 1)");
  }
  update_pages(1000);
  const RestorePoint point = run();
  judge(point);
}

TEST_F(DeltaBackupTest, SignaturesThatLieAreFoundOutByTheTargetAndTheChunksAreSentWhole) {
  run();
  update_pages(1000);
  // Signatures of today's content under yesterday's ids: every block seems to be there.
  {
    test::TemporaryDirectory other;
    sqlite::Database database(signature_file(), sqlite::Database::Mode::write, {"the signatures", "delete them"});
    Bytes content = test::random_bytes(1, 8 * MiB);
    for (std::uint64_t i = 0; i < 64; ++i) {
      const Bytes page = test::random_bytes(1000 + i, 4 * KiB);
      std::copy(page.begin(), page.end(), content.begin() + static_cast<std::ptrdiff_t>(i * 128 * KiB + 8 * KiB));
    }
    const Bytes old = test::random_bytes(1, 8 * MiB);
    const Chunker chunker(store_->domain().chunking);
    std::size_t forged = 0;
    for (std::size_t at = 0; at < old.size();) {
      const std::size_t length = chunker.next_cut(ByteView(old).subspan(at));
      const ChunkId id = chunk_id_of(store_->domain().key, ByteView(old).subspan(at, length));
      const Bytes lie = delta::make_signature(ByteView(content).subspan(at, length), {});
      sqlite::Statement update(database, "UPDATE signatures SET body = ? WHERE id = ?");
      update.bind(1, lie).bind(2, id.view().first(16)).run();
      forged += static_cast<std::size_t>(database.changes());
      at += length;
    }
    ASSERT_GT(forged, 60U);
  }
  const RestorePoint point = run();
  judge(point);
  EXPECT_GT(point.report.whole_again_chunks, 30U);
  EXPECT_EQ(point.report.new_chunks, point.report.delta_chunks) << "counted once";
}

TEST_F(DeltaBackupTest, ATargetThatTakesNoDeltasGetsWholeChunks) {
  class NoDeltas final : public WrappedSession {
   public:
    using WrappedSession::WrappedSession;
    bool takes_deltas() const noexcept override { return false; }
    void send_delta(ByteView, DeltaAnswered) override { FAIL(); }
  };
  run();
  update_pages(1000);
  std::optional<NoDeltas> wrapped;
  const RestorePoint point = run_with({}, [&](target::TargetSession& real) -> target::TargetSession& {
    return wrapped.emplace(real);
  });
  judge(point);
  EXPECT_EQ(point.report.delta_bytes, 0U);
}

TEST_F(DeltaBackupTest, AMachineLikeAnotherOneBuildsOnIt) {
  run();
  update_pages(1000);
  BackupOptions clone;
  clone.name = "web2";
  const RestorePoint point = run(clone);
  judge(point);
  EXPECT_EQ(point.number, 1U);
  EXPECT_NE(point.machine_name, "web1");
  EXPECT_LT(point.report.sent_bytes, 64 * 4 * KiB + 100 * KiB);
  EXPECT_TRUE(point.report.warnings.empty());
}

TEST_F(DeltaBackupTest, AVolumeThatCannotBeCrackedAnyMoreIsNotSentAgain) {
  run();
  {  // the root directory's record: no index root any more
    Bytes boot = read_at(disk(), volume_.offset, 512);
    const auto field = [&](std::size_t at) { return std::to_integer<std::uint64_t>(boot[at]); };
    std::uint64_t mft = 0;
    for (std::size_t i = 0; i < 8; ++i) mft |= field(48 + i) << (8 * i);
    const std::uint64_t cluster = (field(11) | field(12) << 8) * field(13);
    write_at(disk(), volume_.offset + mft * cluster, Bytes(1024, std::byte{0x5a}));
  }
  const RestorePoint point = run();
  judge(point);
  EXPECT_FALSE(point.disks[0].volumes[0].cracked);
  EXPECT_LT(point.report.sent_bytes, 600 * KiB);
}

}  // namespace
}  // namespace vmferry::backup
