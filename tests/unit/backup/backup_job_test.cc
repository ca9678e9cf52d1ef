// A backup whose target goes away in the middle: the next session goes on where the store's state says.
#include <set>

#include "engine/backup/backup_job.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/unit/backup/sent_ids.h"

namespace vmferry::backup {
namespace {

using limits::MiB;

class PhaseCounter final : public BackupEvents {
 public:
  void phase(const std::string& name) override { ++phases_[name]; }
  std::map<std::string, unsigned> phases_;
};

// The target commits, and goes away before it says so.
class CommitsWithoutAnAnswer final : public WrappedSession {
 public:
  using WrappedSession::WrappedSession;
  target::CommitResult commit(const RestorePoint& point) override {
    EXPECT_TRUE(real_.commit(point).committed);
    throw Error(ErrorCode::unreachable, "the line to the target broke");
  }
};

class BackupJobTest : public BackupTest {
 protected:
  BackupJobTest() {
    write_at(disk(), 0, test::random_bytes(1, 6 * MiB));
    write_at(disk(), 6 * MiB, test::text_bytes(2, 3 * MiB));
    std::filesystem::resize_file(disk(), 16 * MiB);
    source_.emplace(Source::open(disk(), {}));
    catalog_ = catalog::Catalog::open(catalog_file());
    options_.name = "web1";
    options_.spool_directory = directory_.path();
    job_.emplace(*source_, options_, *catalog_, events_, cancel_);
  }

  std::unique_ptr<LocalSession> connect(const test::BreakAfter& breaks = {}) {
    return std::make_unique<LocalSession>(*store_, target::ClientFacts{catalog_->client().uuid, "host1"}, breaks);
  }

  BackupOptions options_;
  PhaseCounter events_;
  std::optional<Source> source_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::optional<BackupJob> job_;
};

TEST_F(BackupJobTest, WhatArrivedIsNotSentAgainAndTheDiskIsReadOnce) {
  job_->prepare();
  test::Random random(7);
  std::vector<ChunkId> all_sent;
  std::optional<RestorePoint> point;
  unsigned sessions = 0;
  for (; !point; ++sessions) {
    ASSERT_LT(sessions, 200U);  // many break before their first frame is whole
    const auto local = connect({.sent_bytes = 2000 + random.below(MiB)});
    SentIds session(local->session());
    std::set<ChunkId> there;
    for (std::size_t i = 0; i < all_sent.size(); ++i)
      if (store_->contains(std::span(&all_sent[i], 1))[0]) there.insert(all_sent[i]);
    try {
      point = job_->run(session);
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::unreachable) << error.what();
    }
    for (const ChunkId& id : session.ids_) EXPECT_FALSE(there.contains(id));
    all_sent.insert(all_sent.end(), session.ids_.begin(), session.ids_.end());
  }
  EXPECT_GT(sessions, 8U);
  EXPECT_EQ(events_.phases_["reading the file system"], 1U);
  EXPECT_EQ(point->number, 1U);
  EXPECT_GE(judge(*point).data, 9 * MiB);
  EXPECT_GT(point->report.sent_bytes, 6 * MiB);
  EXPECT_THAT(point->report.notes, testing::Contains(testing::HasSubstr("sessions were needed")));
}

TEST_F(BackupJobTest, ACommitThatWasNotAnsweredIsFoundAndNotMadeTwice) {
  {
    const auto local = connect();
    CommitsWithoutAnAnswer session(local->session());
    expect_error(ErrorCode::unreachable, [&] { job_->run(session); });
  }
  ASSERT_EQ(store_->points().size(), 1U);
  RestorePoint point;
  {
    const auto local = connect();
    SentIds session(local->session());
    point = job_->run(session);
    EXPECT_TRUE(session.ids_.empty());
  }
  EXPECT_EQ(point.uuid, store_->points().at(0).uuid);
  EXPECT_EQ(store_->points().size(), 1U);
  EXPECT_EQ(catalog_->last_point(store_->uuid(), point.machine_uuid)->uuid, point.uuid);
  EXPECT_TRUE(catalog_->node(store_->domain().uuid, point.disks[0].image_map.node));
  job_.reset();
  source_.reset();
  catalog_.reset();
  const RestorePoint next = run();
  EXPECT_EQ(next.number, 2U);
  EXPECT_EQ(next.report.new_chunks, 0U);
}

TEST_F(BackupJobTest, ASourceThatWasWrittenMeanwhileIsRefused) {
  {
    const auto local = connect({.sent_bytes = 100'000});
    expect_error(ErrorCode::unreachable, [&] { job_->run(local->session()); });
  }
  write_at(disk(), 100, as_bytes("changed"));
  const auto local = connect();
  expect_error(ErrorCode::refused, [&] { job_->run(local->session()); });
}

TEST_F(BackupJobTest, AnotherStoreInTheNextSessionIsRefused) {
  {
    const auto local = connect({.sent_bytes = 100'000});
    expect_error(ErrorCode::unreachable, [&] { job_->run(local->session()); });
  }
  store::Store::init(directory_ / "other");
  const auto other = store::Store::open(directory_ / "other");
  LocalSession local(*other, target::ClientFacts{catalog_->client().uuid, "host1"});
  expect_error(ErrorCode::refused, [&] { job_->run(local.session()); });
}

TEST_F(BackupJobTest, AnotherBackupOfTheNameIsRefusedBeforeThereIsASession) {
  job_->prepare();
  const auto catalog = catalog::Catalog::open(catalog_file());
  BackupJob other(*source_, options_, *catalog, events_, cancel_);
  expect_error(ErrorCode::busy, [&] { other.prepare(); });
}

}  // namespace
}  // namespace vmferry::backup
