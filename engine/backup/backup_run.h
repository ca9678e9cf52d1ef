// BackupRun: one session's part of a backup, step by step. Each attempt sends what the target lacks and offers to commit;
// a target that misses something then gets a second attempt that takes nothing for known. One thread.
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
#include "engine/backup/machine_layout.h"
#include "engine/backup/traffic_report.h"
#include "engine/backup/tree_sender.h"

namespace vmferry::backup {

// What the runs of one backup share: it all outlives them.
struct BackupParts {
  const Source& source;
  const BackupOptions& options;
  catalog::Catalog& catalog;
  BackupEvents& events;
  const std::atomic<bool>& cancel;
  const MachineLayout& layout;
  const Identity& identity;
  std::chrono::steady_clock::time_point started;
  std::int64_t taken_ms = 0;
  unsigned session_number = 1;
  TransportCounts former_sessions;  // what went over the line before
};

// Without base points.
target::BackupOpening opening_of(const Identity& identity, const BackupOptions& options);

// Throws Error{cancelled}.
void throw_if_cancelled(const std::atomic<bool>& cancel);

class BackupRun {
 public:
  BackupRun(const BackupParts& parts, target::TargetSession& session);

  void open();
  // After open(): the base point that is this one; null where there is none.
  const RestorePoint* base_with(const Uuid& point) const;
  // After open(): sends all, commits, and remembers the point in the catalog. Closes the backup where that fails.
  RestorePoint run();
  void close() noexcept;

  // The point whose commit was asked for last, and not answered; none: there is none. The rest may be called when the
  // session is gone.
  const Uuid& offered_point() const noexcept { return offered_point_; }
  // That point is in the store, as another session found: remembers it. moved: by all sessions.
  RestorePoint found_committed(RestorePoint point, const TransportCounts& moved);
  TransportCounts moved() const;  // in this session and those before it

 private:
  struct Attempt;
  using CommitResult = target::CommitResult;

  void bring_trees(const RestorePoint& base);
  bool sign_known(const RestorePoint* base) const;
  std::optional<Uuid> likeliest_sibling() const;
  target::BackupOpening opening() const;
  RestorePoint attempts();
  CommitResult attempt(const RestorePoint* base);
  void send_disk(Attempt& attempt, std::size_t index);
  void send_index(Attempt& attempt, DiskLayout& layout, std::uint32_t volume, const PointDisk* former,
                  FormerDisk* former_disk, TreeSender& trees, PointVolume& point);
  PointFile send_file(Attempt& attempt, const SourceFile& file);
  RestorePoint point_of(Attempt& attempt, const RestorePoint* base) const;
  catalog::PointTraffic traffic_of(const RestorePoint& point) const;
  void trim_signatures(RestorePoint& point);
  void remember(RestorePoint& point);
  void tick(const Attempt* attempt);

  const BackupParts parts_;
  const Source& source_;
  const BackupOptions& options_;
  const Identity& identity_;
  catalog::Catalog& catalog_;
  BackupEvents& events_;
  const std::vector<std::unique_ptr<DiskLayout>>& layouts_;  // beside source_.disks()
  target::TargetSession& session_;
  const target::TargetFacts facts_;
  const TransportCounts counts_before_;
  const Chunker chunker_;
  std::chrono::steady_clock::time_point last_progress_{};

  std::vector<std::string> notes_;
  target::BackupOpened opened_;
  Uuid offered_point_;
  std::unique_ptr<TrafficLedger> traffic_;  // of the newest attempt
  std::unique_ptr<NodeSource> nodes_;
  std::optional<NodeSpool> nodes_for_catalog_;
};

}  // namespace vmferry::backup
