#include "engine/backup/machine_layout.h"

#include <algorithm>

namespace vmferry::backup {
namespace {

constexpr std::size_t layout_sort_bytes = 24u << 20;  // of all disks' layouts together, per sorter
constexpr std::size_t layout_sort_bytes_min = 1u << 20;

std::unique_ptr<DiskLayout> build_layout(const Source& source, const SourceDisk& disk, const BackupOptions& options,
                                         bool suspended) {
  LayoutOptions layout;
  layout.keep = options.keep;
  layout.suspended = suspended;
  layout.sandbox = options.sandbox;
  layout.spool_directory = options.spool_directory;
  layout.sort_memory_bytes = std::max(layout_sort_bytes_min, layout_sort_bytes / source.disks().size());
  return DiskLayout::build(*disk.disk, layout, disk.key);
}

}  // namespace

MachineLayout build_machine_layout(const Source& source, const BackupOptions& options,
                                   const std::function<void()>& tick) {
  MachineLayout machine;
  bool hibernated = false;
  for (const SourceDisk& disk : source.disks()) {
    tick();
    machine.disks.push_back(build_layout(source, disk, options, source.suspended()));
    hibernated = hibernated || machine.disks.back()->hibernated();
  }
  // Windows sleeps on one disk and may have the others in its memory: then nothing is left out on any.
  for (std::size_t i = 0; hibernated && !source.suspended() && i < machine.disks.size(); ++i) {
    if (machine.disks[i]->hibernated()) continue;
    tick();
    machine.disks[i].reset();
    machine.disks[i] = build_layout(source, source.disks()[i], options, true);
  }
  for (const auto& layout : machine.disks) {
    machine.data_bytes += layout->bytes().data;
    machine.warnings.insert(machine.warnings.end(), layout->warnings().begin(), layout->warnings().end());
    machine.notes.insert(machine.notes.end(), layout->notes().begin(), layout->notes().end());
  }
  return machine;
}

}  // namespace vmferry::backup
