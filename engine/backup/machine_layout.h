// MachineLayout: the layouts of all disks of a source, and what cracking them said: all that can be known of a machine
// before there is a target. It may be walked by one backup run after another. One thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/backup/backup.h"
#include "engine/backup/layout.h"
#include "engine/backup/source.h"

namespace vmferry::backup {

struct MachineLayout {
  std::vector<std::unique_ptr<DiskLayout>> disks;  // beside source.disks()
  std::vector<Warning> warnings;
  std::vector<std::string> notes;
  std::uint64_t data_bytes = 0;
};

// Cracks every volume of every disk. tick: called before each disk; it throws to stop.
MachineLayout build_machine_layout(const Source& source, const BackupOptions& options,
                                   const std::function<void()>& tick);

}  // namespace vmferry::backup
