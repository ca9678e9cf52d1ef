// Writers of MBR and GPT partition tables. Private to tests/support/disk_image.cc.
#pragma once

#include "tests/support/disk_image.h"

namespace vmferry::test {

inline constexpr std::uint64_t sector_bytes = 512;
inline constexpr std::uint64_t partition_alignment = 1 << 20;

// `ranges` has a range for each partition. Logical partitions are given the extended partition that holds them; the
// record of each lies in the MiB before it.
void write_mbr(const std::filesystem::path& disk, const std::vector<Partition>& partitions,
               const std::vector<ByteRange>& ranges);
void write_gpt(const std::filesystem::path& disk, std::uint64_t disk_bytes, const std::vector<Partition>& partitions,
               const std::vector<ByteRange>& ranges);

}  // namespace vmferry::test
