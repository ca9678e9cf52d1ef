// Backups of a disk without a file system that we read: the thinnest whole path, and what may go wrong on the way.
#include <fstream>

#include "protocol/limits.h"
#include "target-server/receive/serve_session.h"
#include "tests/support/content.h"
#include "tests/unit/backup/backup_fixture.h"

namespace vmferry::backup {
namespace {

using limits::MiB;

class OpaqueDiskTest : public BackupTest {
 protected:
  OpaqueDiskTest() {
    write_at(disk(), 0, test::random_bytes(1, 6 * MiB));
    write_at(disk(), 6 * MiB, test::text_bytes(2, 3 * MiB));
    std::filesystem::resize_file(disk(), 16 * MiB);
  }
};

TEST_F(OpaqueDiskTest, TheWholeDiskComesBackAndAnUnchangedOneSendsNothing) {
  const RestorePoint first = run();
  EXPECT_EQ(first.number, 1U);
  EXPECT_GE(judge(first).data, 9 * MiB);
  EXPECT_GT(first.report.new_chunks, 50U);
  EXPECT_LT(first.report.sent_bytes, 9 * MiB);
  EXPECT_TRUE(first.report.warnings.empty());

  const RestorePoint second = run();
  EXPECT_EQ(second.number, 2U);
  EXPECT_EQ(second.machine_uuid, first.machine_uuid);
  EXPECT_EQ(second.disks[0].uuid, first.disks[0].uuid);
  judge(second);
  EXPECT_EQ(second.disks[0].image_map, first.disks[0].image_map);
  EXPECT_EQ(second.report.new_chunks, 0U);
  EXPECT_LT(second.report.sent_bytes, 3000U);
}

TEST_F(OpaqueDiskTest, AChangedBlockSendsItsChunkAlone) {
  const RestorePoint first = run();
  write_at(disk(), 3 * MiB, test::random_bytes(3, 512));
  const RestorePoint second = run();
  judge(second);
  EXPECT_LE(second.report.new_chunks, 2U);
  EXPECT_EQ(second.report.chunks, first.report.chunks);
}

TEST_F(OpaqueDiskTest, WithoutTheCatalogTheBackupIsSlowerButTheSame) {
  const RestorePoint first = run();
  std::filesystem::rename(catalog_file().parent_path() / "client.uuid", directory_ / "client.uuid");
  std::filesystem::remove_all(catalog_file().parent_path());
  std::filesystem::create_directories(catalog_file().parent_path());
  std::filesystem::rename(directory_ / "client.uuid", catalog_file().parent_path() / "client.uuid");
  write_at(disk(), 3 * MiB, test::random_bytes(3, 512));
  const RestorePoint second = run();
  judge(second);
  EXPECT_EQ(second.machine_uuid, first.machine_uuid);  // found by its name at the target
  EXPECT_EQ(second.disks[0].uuid, first.disks[0].uuid);
  EXPECT_LE(second.report.new_chunks, 2U);
  EXPECT_LE(run().report.new_chunks, 0U);
}

TEST_F(OpaqueDiskTest, AnOldCatalogPutBackChangesNothing) {
  run();
  std::filesystem::copy(catalog_file().parent_path(), directory_ / "old", std::filesystem::copy_options::recursive);
  write_at(disk(), 3 * MiB, test::random_bytes(3, 512));
  const RestorePoint second = run();
  std::filesystem::remove_all(catalog_file().parent_path());
  std::filesystem::rename(directory_ / "old", catalog_file().parent_path());
  const RestorePoint third = run();
  judge(third);
  EXPECT_EQ(third.report.new_chunks, 0U);
  EXPECT_EQ(third.number, 3U);
  EXPECT_EQ(third.disks[0].image_map, second.disks[0].image_map);
}

TEST_F(OpaqueDiskTest, ABasePointDeletedAtTheTargetIsNotMissed) {
  const RestorePoint first = run();
  store_->remove_point(first.uuid, false);
  const RestorePoint second = run();
  judge(second);
  EXPECT_EQ(second.number, 2U);  // never reused
}

TEST_F(OpaqueDiskTest, AStoreRolledBackUnderANewerCatalogGetsWhatItLacks) {
  run();
  store_.reset();
  std::filesystem::copy(directory_ / "store", directory_ / "old", std::filesystem::copy_options::recursive);
  reopen_store();
  write_at(disk(), 0, test::random_bytes(7, 4 * MiB));
  run();
  store_.reset();
  std::filesystem::remove_all(directory_ / "store");
  std::filesystem::rename(directory_ / "old", directory_ / "store");
  reopen_store();
  const RestorePoint again = run();
  judge(again);
  EXPECT_GE(again.report.new_bytes, 4 * MiB - 300000);
}

// Says of every chunk in the first offers that the target has it.
class ForgetfulSession final : public WrappedSession {
 public:
  using WrappedSession::WrappedSession;
  void offer(std::vector<ChunkId> ids, std::function<void(target::WantBitmap)> answered) override {
    if (commits_ > 0) return real_.offer(std::move(ids), std::move(answered));
    answered(target::WantBitmap(ids.size()));
  }
  target::CommitResult commit(const RestorePoint& point) override {
    ++commits_;
    return real_.commit(point);
  }
  int commits_ = 0;
};

TEST_F(OpaqueDiskTest, ChunksThatTheTargetLacksAtTheCommitAreSentInASecondAttempt) {
  std::optional<ForgetfulSession> forgetful;
  const RestorePoint point = run_with({}, [&](target::TargetSession& real) -> target::TargetSession& {
    return forgetful.emplace(real);
  });
  EXPECT_EQ(forgetful->commits_, 2);
  EXPECT_EQ(point.number, 1U);
  judge(point);
}

TEST_F(OpaqueDiskTest, ADiskWrittenWhileItIsReadIsRefusedAndNoPointIsMade) {
  class Writer final : public BackupEvents {
   public:
    explicit Writer(std::filesystem::path file) : file_(std::move(file)) {}
    void phase(const std::string& name) override {
      if (name == "backing up") write_at(file_, 100, as_bytes("changed"));
    }
    std::filesystem::path file_;
  } writer(disk());
  expect_error(ErrorCode::refused, [&] { run_with({}, nullptr, &writer); });
  EXPECT_TRUE(store_->points().empty());
  judge(run());
}

TEST_F(OpaqueDiskTest, ACancelledBackupLeavesNoPointAndTheNextOneIsWhole) {
  class Canceller final : public BackupEvents {
   public:
    explicit Canceller(std::atomic<bool>& cancel) : cancel_(cancel) {}
    void progress(std::uint64_t, std::uint64_t, std::uint64_t) override { cancel_ = true; }
    std::atomic<bool>& cancel_;
  } canceller(cancel_);
  expect_error(ErrorCode::cancelled, [&] { run_with({}, nullptr, &canceller); });
  cancel_ = false;
  EXPECT_TRUE(store_->points().empty());
  judge(run());
}

TEST_F(OpaqueDiskTest, AnotherDiskUnderTheSameNameIsRefusedUnlessAdopted) {

  const auto sign = [&](char seed) {
    Bytes sector(512);
    for (std::size_t i = 0; i < 4; ++i) sector[440 + i] = static_cast<std::byte>(seed + static_cast<char>(i));
    sector[446 + 4] = std::byte{0x83};  // one Linux partition, 1 MiB to 8 MiB
    sector[446 + 8 + 1] = std::byte{8};
    sector[446 + 12 + 1] = std::byte{0x38};
    sector[510] = std::byte{0x55};
    sector[511] = std::byte{0xaa};
    write_at(disk(), 0, sector);
  };
  sign('a');
  const RestorePoint first = run();
  EXPECT_TRUE(first.disks[0].uuid_made_up);
  sign('k');
  expect_error(ErrorCode::refused, [&] { run(); });
  BackupOptions adopt;
  adopt.adopt = true;
  judge(run(adopt));
}

TEST_F(OpaqueDiskTest, ASmallMemoryBoundOnlyMakesItSlower) {
  BackupOptions tight;
  tight.memory_bytes = 1;
  judge(run(tight));
}

TEST_F(OpaqueDiskTest, ATargetThatGoesAwayIsAnErrorAndNotAHang) {
  class Breaker final : public BackupEvents {
   public:
    void phase(const std::string& name) override {
      if (name == "backing up" && transport) transport->abort();
    }
    Transport* transport = nullptr;
  } breaker;
  const Source source = Source::open(disk(), {});
  const auto catalog = catalog::Catalog::open(catalog_file());
  auto [ours, theirs] = memory_transport();
  breaker.transport = theirs.get();
  std::thread server([&, end = theirs.get()] {
    try {
      target_server::serve_session(*end, *store_);
    } catch (const Error&) {
    }
  });
  BackupOptions options;
  options.name = "web1";
  options.spool_directory = directory_.path();
  {
    const auto session = target::TargetSession::open(std::move(ours), {catalog->client().uuid, "host1"});
    expect_error(ErrorCode::unreachable, [&] { run_backup(source, options, *session, *catalog, breaker, cancel_); });
  }
  server.join();
  judge(run());
}

}  // namespace
}  // namespace vmferry::backup
