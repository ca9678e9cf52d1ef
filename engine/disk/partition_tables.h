// The two kinds of partition table, and what a volume's first bytes say. What they read was written by a guest:
// none throws for it (only for what the disk itself throws), and each looks at a bounded part of the disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/disk/partitions.h"

namespace vmferry::disk {

// Entries as they stand in the table, not yet compared with each other; ranges lie in the disk. Entries that do not
// are told in problems. None where there is no such table.
std::optional<PartitionTable> read_mbr(const Disk& disk, std::uint32_t sector_bytes);
std::optional<PartitionTable> read_gpt(const Disk& disk);
// Whether the MBR keeps other tools off a GPT (it has an entry of type EE).
bool mbr_protects_gpt(const Disk& disk);
// Whether sector 0 ends in 55 AA.
bool has_boot_signature(const Disk& disk);

// "ntfs", "ext", ...; "" where nothing known.
std::string volume_signature(const Disk& disk, const ByteRange& range);

}  // namespace vmferry::disk
