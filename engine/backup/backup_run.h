// BackupRun: one run of run_backup, step by step. Each attempt sends what the target lacks and offers to commit; a
// target that misses something then gets a second attempt that takes nothing for known.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "engine/backup/backup.h"
#include "engine/backup/disk_pass.h"
#include "engine/backup/former_point.h"
#include "engine/backup/identity.h"
#include "engine/backup/traffic_report.h"
#include "engine/backup/tree_sender.h"

namespace vmferry::backup {

class BackupRun {
 public:
  BackupRun(const Source& source, const BackupOptions& options, target::TargetSession& session,
            catalog::Catalog& catalog, BackupEvents& events, const std::atomic<bool>& cancel);
  RestorePoint run();

 private:
  struct Attempt;
  using CommitResult = target::CommitResult;

  void build_layouts();
  bool sign_known(const RestorePoint* base) const;
  std::unique_ptr<DiskLayout> build_layout(const SourceDisk& disk, bool suspended) const;
  std::optional<Uuid> likeliest_sibling() const;
  target::BackupOpening opening() const;
  RestorePoint run_opened(const RestorePoint* base);
  CommitResult attempt(const RestorePoint* base);
  void send_disk(Attempt& attempt, std::size_t index);
  void send_index(Attempt& attempt, DiskLayout& layout, std::uint32_t volume, const PointDisk* former,
                  FormerDisk* former_disk, TreeSender& trees, PointVolume& point);
  PointFile send_file(Attempt& attempt, const SourceFile& file);
  RestorePoint point_of(Attempt& attempt, const RestorePoint* base) const;
  catalog::PointTraffic traffic_of(const RestorePoint& point) const;
  void trim_signatures(RestorePoint& point);
  void remember(RestorePoint& point);
  void warn(Warning warning);
  void tick(const Attempt* attempt);

  const Source& source_;
  const BackupOptions& options_;
  target::TargetSession& session_;
  catalog::Catalog& catalog_;
  BackupEvents& events_;
  const std::atomic<bool>& cancel_;

  const std::chrono::steady_clock::time_point started_;
  const std::int64_t taken_ms_;
  const TransportCounts counts_before_;
  const Chunker chunker_;
  const DomainKey key_;
  std::uint64_t total_bytes_ = 0;
  std::chrono::steady_clock::time_point last_progress_{};

  Identity identity_;
  std::vector<std::unique_ptr<DiskLayout>> layouts_;  // beside source_.disks()
  std::vector<Warning> warnings_;
  std::vector<std::string> notes_;
  std::unique_ptr<TrafficLedger> traffic_;  // of the newest attempt
  std::unique_ptr<NodeSource> nodes_;
  std::optional<NodeSpool> nodes_for_catalog_;
};

}  // namespace vmferry::backup
