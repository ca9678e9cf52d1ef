// run_backup: the main job. Cracks the machine's disks, sends what the target lacks, commits a restore point and then
// the catalog. A crash or a throw at any instant leaves the former points and the catalog as they were, and what the
// target received counts next time. Never prints; tells `events`.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/backup/compression_choice.h"
#include "engine/backup/layout.h"
#include "engine/backup/source.h"
#include "engine/catalog/catalog.h"
#include "engine/catalog/signature_store.h"
#include "protocol/session/target_session.h"
#include "protocol/delta/signature.h"
#include "protocol/point.h"

namespace vmferry::backup {

struct BackupOptions {
  std::string name;               // the machine's; empty: source.default_name()
  KeepOptions keep;
  bool adopt = false;
  CompressionChoice compression;
  catalog::SignatureStore* signatures = nullptr;  // null: no deltas
  bool deltas = true;             // false: signatures are kept, and not used
  delta::SignatureParameters signing = delta::chunk_signing;
  unsigned compress_threads = 0;  // 0: as many as the host has processors
  std::size_t memory_bytes = 128u << 20;  // queues between the steps, all together
  std::filesystem::path spool_directory;  // for sorting: unlinked files
  crack::SandboxLimits sandbox;
};

// Phases, and counts that only grow. Called from the thread that called run_backup, a few times a second at most.
class BackupEvents {
 public:
  virtual ~BackupEvents() = default;
  virtual void phase(const std::string& name) { static_cast<void>(name); }  // "reading the file system", "backing up", "committing"
  virtual void progress(std::uint64_t read_bytes, std::uint64_t total_bytes, std::uint64_t sent_bytes) {
    static_cast<void>(read_bytes), static_cast<void>(total_bytes), static_cast<void>(sent_bytes);
  }
  virtual void warning(const Warning& warning) { static_cast<void>(warning); }
};

// In one session that is there already; backup_job.h has the same in steps, for a target that may go away.
// Throws Error; Error{cancelled} soon after `cancel` becomes true. The result is the point as the target stored it,
// its report filled in (sent, received, stored and elapsed are final).
RestorePoint run_backup(const Source& source, const BackupOptions& options, target::TargetSession& session,
                        catalog::Catalog& catalog, BackupEvents& events, const std::atomic<bool>& cancel);

}  // namespace vmferry::backup
