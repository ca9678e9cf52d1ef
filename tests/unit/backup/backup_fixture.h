// BackupTest: a store, a catalog and a disk in a temporary directory; run() backs up through a real session over the
// memory transport; judge() reads a point back and compares it with the disk byte by byte.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/backup/backup.h"
#include "protocol/error.h"
#include "target-server/store/store.h"
#include "tests/support/breaking_transport.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::backup {

// A session with the store in this process; it ends when it is destroyed, or breaks before.
class LocalSession {
 public:
  LocalSession(store::Store& store, const target::ClientFacts& client, const test::BreakAfter& breaks = {});
  ~LocalSession();
  target::TargetSession& session() { return *session_; }
  void abort() { session_.reset(); }

 private:
  std::unique_ptr<Transport> server_end_;
  std::thread server_;
  std::unique_ptr<target::TargetSession> session_;
};

// A real session, for tests that change one thing about it.
class WrappedSession : public target::TargetSession {
 public:
  explicit WrappedSession(target::TargetSession& real) : real_(real) {}
  const target::TargetFacts& facts() const noexcept override { return real_.facts(); }
  TransportCounts counts() const noexcept override { return real_.counts(); }
  target::BackupOpened open_backup(const target::BackupOpening& opening) override { return real_.open_backup(opening); }
  void offer(std::vector<ChunkId> ids, std::function<void(target::WantBitmap)> answered) override {
    real_.offer(std::move(ids), std::move(answered));
  }
  void send_frame(ByteView frame) override { real_.send_frame(frame); }
  bool takes_deltas() const noexcept override { return real_.takes_deltas(); }
  void send_delta(ByteView delta_frame, DeltaAnswered answered) override {
    real_.send_delta(delta_frame, std::move(answered));
  }
  target::CommitResult commit(const RestorePoint& point) override { return real_.commit(point); }
  void close_backup() override { real_.close_backup(); }
  bool takes_replicas() const noexcept override { return real_.takes_replicas(); }
  target::ReplicaOpened open_replica(const target::ReplicaOpening& opening) override {
    return real_.open_replica(opening);
  }
  target::ReplicaCommit commit_replica(ByteView encoded_point) override { return real_.commit_replica(encoded_point); }
  std::vector<PointSummary> points() override { return real_.points(); }
  RestorePoint point(const Uuid& uuid) override { return real_.point(uuid); }
  Bytes encoded_point(const Uuid& uuid) override { return real_.encoded_point(uuid); }
  ChunkSource& chunks() override { return real_.chunks(); }
  void fetch(std::vector<ChunkId> ids, std::function<void(const ChunkId&, ByteView)> use,
             std::function<void(std::exception_ptr)> done) override {
    real_.fetch(std::move(ids), std::move(use), std::move(done));
  }
  void fetch_frames(std::vector<ChunkId> ids, UseFrame use, std::function<void(std::exception_ptr)> done) override {
    real_.fetch_frames(std::move(ids), std::move(use), std::move(done));
  }
  void fetch_deltas(std::vector<wire::ChunkWithBasis> chunks, UseDelta use_delta, UseFrame use,
                    std::function<void(std::exception_ptr)> done) override {
    real_.fetch_deltas(std::move(chunks), std::move(use_delta), std::move(use), std::move(done));
  }
  target::VerifyResult verify(const Uuid& point, const Progress& progress) override {
    return real_.verify(point, progress);
  }

 protected:
  target::TargetSession& real_;
};

struct Judged {
  std::uint64_t data = 0, zero = 0, left_out = 0;
  std::vector<ByteRange> left_out_ranges;
};

class BackupTest : public testing::Test {
 protected:
  BackupTest();
  std::filesystem::path disk() const { return directory_ / "disk.raw"; }
  std::filesystem::path catalog_file() const { return directory_ / "catalog/catalog.sqlite"; }
  std::filesystem::path signature_file() const { return catalog::SignatureStore::file_beside(catalog_file()); }
  void reopen_store();

  RestorePoint run(const BackupOptions& options = {}) { return run_with(options, nullptr); }
  using Wrap = std::function<target::TargetSession&(target::TargetSession&)>;
  RestorePoint run_with(BackupOptions options, const Wrap& wrap, BackupEvents* events = nullptr);
  Judged judge(const RestorePoint& point, std::size_t disk_index = 0);

  template <typename Do>
  static void expect_error(ErrorCode code, Do&& act) {
    try {
      act();
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
    }
  }

  test::TemporaryDirectory directory_;
  std::unique_ptr<store::Store> store_;
  std::atomic<bool> cancel_{false};
};

void write_at(const std::filesystem::path& file, std::uint64_t offset, ByteView bytes);
Bytes read_at(const std::filesystem::path& file, std::uint64_t offset, std::size_t length);

}  // namespace vmferry::backup
