// restore_disk: one disk of a restore point, written in disk order while what comes next is on its way.
#pragma once

#include <atomic>
#include <filesystem>

#include "engine/restore/restore.h"

namespace vmferry::restore {

struct DiskProgress {
  std::uint64_t done_bytes = 0, total_bytes = 0;  // of all disks of the machine: data only
};

// Adds to `result`. Where a range cannot be had: throws Error{damaged} that names it, or with keep_going goes on,
// names it in a warning, and leaves the output as OUT.partial.
void restore_disk(const PointDisk& disk, const std::filesystem::path& output, disk::OutputFormat format,
                  const DiskRestoreOptions& options, target::TargetSession& session, RestoreEvents& events,
                  const std::atomic<bool>& cancel, DiskProgress& progress, RestoreResult& result);

// What the source's descriptor said, for create_disk and same_format.
disk::DiskDescription description_of(const PointDisk& disk);
// Throws Error{refused} where the disk at `path` is in use, by its locks; not where nothing is there.
void refuse_disk_in_use(const std::filesystem::path& path);
// Throws Error{no_space} unless the file system of `directory` has room for that many bytes more.
void expect_space(const std::filesystem::path& directory, std::uint64_t bytes);

}  // namespace vmferry::restore
