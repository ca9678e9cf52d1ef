#include "engine/backup/backup.h"

#include "engine/backup/backup_job.h"

namespace vmferry::backup {

RestorePoint run_backup(const Source& source, const BackupOptions& options, target::TargetSession& session,
                        catalog::Catalog& catalog, BackupEvents& events, const std::atomic<bool>& cancel) {
  return BackupJob(source, options, catalog, events, cancel).run(session);
}

}  // namespace vmferry::backup
