#include "engine/backup/backup.h"

#include "engine/backup/backup_run.h"
#include "protocol/bytes.h"
#include "protocol/error.h"

namespace vmferry::backup {
namespace {

// Before the machine is known: two first backups of one name would each make a machine up, and the name would have
// both.
std::unique_ptr<catalog::MachineLock> lock_name(const std::string& name, catalog::Catalog& catalog) {
  ByteWriter from;
  from.string("vmferry name");
  from.string(name);
  try {
    return catalog.lock_machine(Uuid::derived(from.view()));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::busy) throw;
    throw Error(ErrorCode::busy, "this machine is being backed up by another process", name, "wait until it is done");
  }
}

}  // namespace

RestorePoint run_backup(const Source& source, const BackupOptions& options, target::TargetSession& session,
                        catalog::Catalog& catalog, BackupEvents& events, const std::atomic<bool>& cancel) {
  const auto lock = lock_name(options.name.empty() ? source.default_name() : options.name, catalog);
  return BackupRun(source, options, session, catalog, events, cancel).run();
}

}  // namespace vmferry::backup
