#include "engine/backup/backup.h"

#include "engine/backup/backup_run.h"

namespace vmferry::backup {

RestorePoint run_backup(const Source& source, const BackupOptions& options, target::TargetSession& session,
                        catalog::Catalog& catalog, BackupEvents& events, const std::atomic<bool>& cancel) {
  return BackupRun(source, options, session, catalog, events, cancel).run();
}

}  // namespace vmferry::backup
