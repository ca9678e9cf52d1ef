// measure_nights: what a machine's nights would send, each in several ways: by the real backup, with and without
// deltas, to a target that only measures; by rsync; as a plain copy. Writes no store and touches no catalog but one of
// its own, in a directory below the spool directory that is removed in the end, however it ends.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/backup/backup.h"
#include "engine/measure/link.h"
#include "protocol/delta/signature.h"

namespace vmferry::measure {

struct NightOptions {
  backup::CompressionChoice compression{false, 3};
  delta::SignatureParameters signing = delta::chunk_signing;
  std::filesystem::path spool_directory;
};

// One way of saving a night.
struct Way {
  std::string id;             // "copy", "sparse_copy", "rsync", "chunks", "vmferry": stable, for programs
  Traffic traffic;
  std::uint64_t work_ms = 0;  // measured: reading, hashing, compressing; 0: not measured
  bool computed = true;       // false: there is no number for it (a disk too large for the computation)
};

struct Night {
  std::filesystem::path path;
  std::uint64_t disk_bytes = 0;
  std::vector<Way> ways;      // in the order above
  BackupReport report;        // of the backup with deltas
  std::vector<std::string> notes;

  const Way& way(std::string_view id) const;
};

// Like BackupEvents' (progress of one step at a time); called from the thread that called measure_nights.
using NightEvents = backup::BackupEvents;

// paths: a machine's states, the first one first; each a VMDK, a raw image or a .vmx. Throws Error, among others
// Error{cancelled} soon after `cancel` becomes true.
std::vector<Night> measure_nights(const std::vector<std::filesystem::path>& paths, const NightOptions& options,
                                  NightEvents& events, const std::atomic<bool>& cancel);

}  // namespace vmferry::measure
