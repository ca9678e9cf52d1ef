// BackupJob: one backup, from what can be done before there is a target to the point that is committed, in as many
// sessions as it takes. prepare() locks the machine's name and reads the file systems; run() does the rest in one
// session. Where that ends with Error{unreachable} (the target restarted, the line is gone for good), run() may be called
// again with a new session to the same store: the layouts and the machine's identity are kept, what arrived is not sent
// again, and a point whose commit was not answered any more is found again, not made twice.
// The machine stays locked on this host until the job is destroyed. One thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "engine/backup/backup.h"
#include "engine/backup/identity.h"
#include "engine/backup/machine_layout.h"

namespace vmferry::backup {

class BackupRun;

class BackupJob {
 public:
  // All but the options must outlive the job.
  BackupJob(const Source& source, BackupOptions options, catalog::Catalog& catalog, BackupEvents& events,
            const std::atomic<bool>& cancel);
  ~BackupJob();

  // What can be asked of the target as soon as it can be reached (TargetSession::open): of a machine that was backed up before.
  // Locks it. Throws as prepare() does.
  std::optional<target::BackupOpening> early_opening();
  // Needs no session. Called by run() where it was not called before. Throws Error{busy}: this machine is being backed
  // up by another process. tick: called before each disk; what it throws ends the preparation.
  void prepare(const std::function<void()>& tick = {});
  // Throws Error{unreachable} where another session may go better; Error{refused} where the source was written since
  // prepare(), or the session is with another store than the one before. Other errors are for good.
  RestorePoint run(target::TargetSession& session);

 private:
  void lock();
  void expect_same_store(const target::TargetFacts& facts);
  RestorePoint run_in(target::TargetSession& session);

  const Source& source_;
  const BackupOptions options_;
  catalog::Catalog& catalog_;
  BackupEvents& events_;
  const std::atomic<bool>& cancel_;
  const std::chrono::steady_clock::time_point started_;
  const std::int64_t taken_ms_;

  std::unique_ptr<catalog::MachineLock> name_lock_, machine_lock_;
  std::optional<MachineLayout> layout_;
  std::optional<Identity> identity_;
  std::optional<std::pair<Uuid, Uuid>> store_and_domain_;  // of the first session
  unsigned sessions_ = 0;
  TransportCounts former_sessions_;
  std::unique_ptr<BackupRun> unanswered_;  // its commit was asked for, and not answered
};

}  // namespace vmferry::backup
