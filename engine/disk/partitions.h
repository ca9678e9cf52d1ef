// Partitions: the volumes of a disk, from MBR (with extended partitions), GPT (with its backup header), or
// none. Never throws for what a guest may have written: a table that makes no sense gives one opaque volume
// for the whole disk and a problem that says why.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/disk/disk.h"
#include "protocol/byte_range.h"

namespace vmferry::disk {

enum class PartitionScheme { none, mbr, gpt };

struct Partition {
  std::uint32_t number = 0;     // as the guest's tools count: MBR 1-4, logical from 5; GPT entry index + 1;
                                // 1 for a volume without a table. Stable across points.
  ByteRange range;              // within the disk, not empty
  std::string type;             // "ntfs/exfat" (MBR 07), "fat32", "linux", "efi", "msr", "recovery", "basic-data",
                                // "ldm", "storage-spaces", ... or the hex id / type GUID
  std::string name;             // GPT's name, UTF-8
  Uuid unique_id;               // GPT's unique GUID; none for MBR
  // What the volume's first bytes say it is: "ntfs", "fat", "exfat", "refs", "bitlocker", "ext", "xfs",
  // "btrfs", "swap", "lvm", ... or "" (unknown)
  std::string signature;
};

struct PartitionTable {
  PartitionScheme scheme = PartitionScheme::none;
  std::uint32_t sector_bytes = 512;
  Uuid disk_id;                        // GPT's disk GUID, or derived from the MBR's signature; none without
  std::vector<Partition> partitions;   // by offset; never overlapping
  std::vector<std::string> problems;   // sentences; not empty: a warning. E.g. the backup header was used.
};

PartitionTable read_partitions(const Disk& disk);

}  // namespace vmferry::disk
