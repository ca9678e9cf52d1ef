// The target that only measures, against a real store: the same backups send and receive the same.
#include <gtest/gtest.h>

#include <thread>

#include "engine/backup/backup.h"
#include "engine/measure/measuring_target.h"
#include "engine/measure/nights.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "target-server/receive/serve_session.h"
#include "target-server/store/store.h"
#include "tests/support/content.h"
#include "tests/support/disk_image.h"
#include "tests/support/ntfs_image.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::measure {
namespace {

namespace fs = std::filesystem;
using limits::KiB;
using limits::MiB;

class Disks {
 public:
  Disks() {
    const test::DiskImage image = test::make_disk(
        first(), 64 * MiB, test::PartitionTable::gpt, {{.name = "Data", .ntfs = test::NtfsFormat{.label = "Data"}}});
    {
      test::NtfsImage ntfs(first(), image.partitions[0]);
      ntfs.write_file("/data.db", test::random_bytes(1, 8 * MiB));
      ntfs.write_file("/text.log", test::text_bytes(2, 6 * MiB));
      for (std::uint64_t i = 0; i < 50; ++i)
        ntfs.write_file("/small/" + std::to_string(i), test::random_bytes(100 + i, 20 * KiB));
      ntfs.close();
    }
    fs::copy_file(first(), second());
    test::NtfsImage ntfs(second(), image.partitions[0]);
    for (std::uint64_t i = 0; i < 40; ++i)
      ntfs.overwrite("/data.db", i * 200 * KiB, test::random_bytes(1000 + i, 4 * KiB));
    ntfs.write_file("/new.txt", test::text_bytes(7, 500 * KiB));
    ntfs.close();
  }
  fs::path first() const { return directory_ / "first.raw"; }
  fs::path second() const { return directory_ / "second.raw"; }
  fs::path operator/(const char* name) const { return directory_ / name; }

 private:
  test::TemporaryDirectory directory_;
};

// A frame more or less is the threads' luck, and so is the length of a number: hence a few bytes beside the hundredth.
void expect_within_a_hundredth(std::uint64_t measured, std::uint64_t real) {
  EXPECT_NEAR(static_cast<double>(measured), static_cast<double>(real), static_cast<double>(real) * 0.01 + 64);
}

class RealTarget {
 public:
  RealTarget(const fs::path& directory, const ChunkingParameters& chunking, const target::ClientFacts& client) {
    store::Store::init(directory, chunking);
    store::StoreOptions options;
    options.reserve_fraction = 0;
    store_ = store::Store::open(directory, options);
    auto [ours, theirs] = memory_transport();
    targets_end_ = std::move(theirs);
    server_ = std::thread([this] { target_server::serve_session(*targets_end_, *store_); });
    session_ = target::TargetSession::open(std::move(ours), client);
  }
  ~RealTarget() {
    session_.reset();
    server_.join();
  }
  target::TargetSession& session() { return *session_; }

 private:
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Transport> targets_end_;
  std::thread server_;
  std::unique_ptr<target::TargetSession> session_;
};

std::vector<BackupReport> back_up_both(const Disks& disks, const fs::path& catalogs, target::TargetSession& session,
                                       catalog::Catalog& catalog) {
  catalog::SignatureStore signatures(catalogs / "signatures.sqlite");
  backup::BackupOptions options;
  options.name = "bench";
  options.adopt = true;
  options.signatures = &signatures;
  options.spool_directory = catalogs;
  backup::BackupEvents silent;
  const std::atomic<bool> never{false};
  std::vector<BackupReport> reports;
  for (const fs::path& disk : {disks.first(), disks.second()})
    reports.push_back(
        backup::run_backup(backup::Source::open(disk, {}), options, session, catalog, silent, never).report);
  return reports;
}

TEST(MeasuringTargetTest, ItCountsWhatARealTargetCounts) {
  const Disks disks;
  std::vector<BackupReport> real, measured;
  fs::create_directories(disks / "real");
  fs::create_directories(disks / "measured");
  MeasuredStore store;
  ChunkingParameters chunking;
  {
    const auto catalog = catalog::Catalog::open(disks / "measured/catalog.sqlite");
    MeasuringTarget target(store, {catalog->client().uuid, catalog->client().name});
    chunking = target.session().facts().chunking;
    measured = back_up_both(disks, disks / "measured", target.session(), *catalog);
  }
  {
    const auto catalog = catalog::Catalog::open(disks / "real/catalog.sqlite");
    RealTarget target(disks / "store", chunking, {catalog->client().uuid, catalog->client().name});
    real = back_up_both(disks, disks / "real", target.session(), *catalog);
  }
  for (std::size_t night = 0; night < 2; ++night) {
    expect_within_a_hundredth(measured[night].sent_bytes, real[night].sent_bytes);
    expect_within_a_hundredth(measured[night].received_bytes, real[night].received_bytes);
  }
  EXPECT_GT(measured[1].delta_chunks, 0U);
  EXPECT_EQ(measured[1].whole_again_chunks, 0U);
  EXPECT_GE(store.chunks(), measured[0].new_chunks + measured[1].new_chunks);
}

TEST(MeasuringTargetTest, WhatItHasBelowStaysAsItWas) {
  MeasuredStore below;
  const DomainKey key;
  std::vector<ChunkId> ids;
  for (std::uint64_t i = 0; i < 5000; ++i) ids.push_back(chunk_id_of(key, test::random_bytes(i, 16)));
  for (std::size_t i = 0; i < 2500; ++i) below.add(ids[i]);
  MeasuredStore above(&below);
  for (const ChunkId& id : ids) above.add(id);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_TRUE(above.contains(ids[i]));
    EXPECT_EQ(below.contains(ids[i]), i < 2500);
  }
  EXPECT_EQ(below.chunks(), 2500U);
  EXPECT_EQ(above.chunks(), 5000U);
}

TEST(NightsTest, DeltasSendLessThanChunksAndChunksLessThanRsyncAndNothingStaysBehind) {
  const Disks disks;
  const fs::path spool = disks / "spool";
  fs::create_directories(spool);
  NightOptions options;
  options.spool_directory = spool;
  NightEvents silent;
  const std::atomic<bool> never{false};
  const std::vector<Night> nights = measure_nights({disks.first(), disks.second()}, options, silent, never);
  ASSERT_EQ(nights.size(), 2U);
  EXPECT_EQ(nights[0].way("copy").traffic.sent_bytes, 64 * MiB);
  EXPECT_LE(nights[0].way("sparse_copy").traffic.sent_bytes, 64 * MiB);
  EXPECT_GE(nights[0].way("rsync").traffic.sent_bytes, 64 * MiB);
  EXPECT_EQ(nights[0].way("chunks").traffic.sent_bytes, nights[0].way("vmferry").traffic.sent_bytes);
  const auto sent = [&](const char* way) { return nights[1].way(way).traffic.sent_bytes; };
  EXPECT_LT(sent("vmferry"), 40 * 4 * KiB + 400 * KiB);
  EXPECT_GT(sent("vmferry"), 40 * 4 * KiB);
  EXPECT_GT(sent("chunks"), 4 * sent("vmferry"));
  EXPECT_GT(sent("rsync"), sent("vmferry"));
  EXPECT_LT(sent("rsync"), 8 * MiB);
  EXPECT_TRUE(fs::is_empty(spool));
}

TEST(NightsTest, AStoppedMeasurementLeavesNothingBehind) {
  const Disks disks;
  const fs::path spool = disks / "spool";
  fs::create_directories(spool);
  NightOptions options;
  options.spool_directory = spool;
  std::atomic<bool> cancel{false};
  class StopAtBackingUp final : public NightEvents {
   public:
    explicit StopAtBackingUp(std::atomic<bool>& stop) : stop_(stop) {}
    void phase(const std::string& name) override { stop_ = stop_ || name.find("backing up") != std::string::npos; }

   private:
    std::atomic<bool>& stop_;
  } events(cancel);
  try {
    measure_nights({disks.first(), disks.second()}, options, events, cancel);
    FAIL() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::cancelled);
  }
  EXPECT_TRUE(fs::is_empty(spool));
}

}  // namespace
}  // namespace vmferry::measure
