#include "engine/disk/partitions.h"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/disk/partition_tables.h"
#include "protocol/limits.h"

namespace vmferry::disk {
namespace {

PartitionTable whole_disk(const Disk& disk, std::vector<std::string> problems) {
  PartitionTable table;
  Partition partition;
  partition.number = 1;
  partition.range = {.offset = 0, .length = disk.size_bytes()};
  partition.signature = volume_signature(disk, partition.range);
  partition.type = partition.signature;
  table.partitions.push_back(std::move(partition));
  table.problems = std::move(problems);
  return table;
}

// A byte in two partitions belongs to neither: both are left out.
void drop_overlapping(PartitionTable& table) {
  auto& partitions = table.partitions;
  std::ranges::sort(partitions, {}, [](const Partition& p) { return std::pair(p.range.offset, p.number); });
  std::vector<bool> overlaps(partitions.size(), false);
  std::size_t furthest = 0;  // which of those before reaches furthest
  for (std::size_t i = 1; i < partitions.size(); ++i) {
    if (partitions[i].range.offset < partitions[furthest].range.end()) {
      overlaps[i] = overlaps[furthest] = true;
      table.problems.push_back("partitions " + std::to_string(partitions[furthest].number) + " and " +
                               std::to_string(partitions[i].number) + " overlap");
    }
    if (partitions[i].range.end() > partitions[furthest].range.end()) furthest = i;
  }
  std::vector<Partition> kept;
  for (std::size_t i = 0; i < partitions.size(); ++i)
    if (!overlaps[i]) kept.push_back(std::move(partitions[i]));
  partitions = std::move(kept);
}

// An MBR does not say how large its sectors are: 4096 where volumes are found only so.
bool mbr_means_large_sectors(const Disk& disk, const PartitionTable& small, const PartitionTable& large) {
  const auto known = [&](const PartitionTable& table) {
    return std::ranges::any_of(table.partitions,
                               [&](const Partition& p) { return !volume_signature(disk, p.range).empty(); });
  };
  return !large.partitions.empty() && large.problems.empty() && !known(small) && known(large);
}

PartitionTable finished(const Disk& disk, PartitionTable table) {
  drop_overlapping(table);
  if (table.partitions.size() > limits::volumes_per_disk_max) {
    table.partitions.resize(limits::volumes_per_disk_max);
    table.problems.push_back("only its first " + std::to_string(limits::volumes_per_disk_max) + " partitions are read");
  }
  if (table.partitions.empty() && !table.problems.empty()) return whole_disk(disk, std::move(table.problems));
  for (Partition& partition : table.partitions) partition.signature = volume_signature(disk, partition.range);
  return table;
}

// File systems whose first sector ends in 55 AA too, so that it looks like an MBR.
bool is_volume_with_boot_sector(const std::string& signature) {
  return signature == "ntfs" || signature == "exfat" || signature == "refs" || signature == "bitlocker";
}

}  // namespace

PartitionTable read_partitions(const Disk& disk) {
  const std::string signature = volume_signature(disk, {.offset = 0, .length = disk.size_bytes()});
  if (is_volume_with_boot_sector(signature)) return whole_disk(disk, {});
  const bool protective = mbr_protects_gpt(disk);
  // Without any MBR a GPT is still better than nothing; beside an MBR with other entries it is a leftover.
  if (protective || (!has_boot_signature(disk) && signature.empty())) {
    if (auto gpt = read_gpt(disk)) {
      if (!protective) gpt->problems.push_back("the GPT's protective MBR is missing");
      return finished(disk, std::move(*gpt));
    }
    if (protective) return whole_disk(disk, {"the GPT and its copy at the disk's end are both damaged"});
    return whole_disk(disk, {});
  }
  auto mbr = read_mbr(disk, 512);
  if (!mbr) {
    if (has_boot_signature(disk) && signature.empty())
      return whole_disk(disk, {"the first sector is neither a partition table nor a known volume"});
    return whole_disk(disk, {});
  }
  if (mbr->partitions.empty() && mbr->problems.empty() && !signature.empty()) return whole_disk(disk, {});
  if (auto large = read_mbr(disk, 4096); large && mbr_means_large_sectors(disk, *mbr, *large)) mbr = std::move(large);
  return finished(disk, std::move(*mbr));
}

}  // namespace vmferry::disk
