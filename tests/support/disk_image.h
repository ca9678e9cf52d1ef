// Raw disk images with a partition table, written by our own code, and VMDKs made of them by qemu-img.
//
//   const DiskImage disk = make_disk(dir / "disk.raw", 256 * MiB, PartitionTable::gpt, {{.name = "EFI", .bytes = 16 *
//   MiB,
//       .kind = PartitionKind::efi}, {.name = "Windows", .ntfs = NtfsFormat{.label = "System"}}});
//   NtfsImage volume(disk.file, disk.partitions[1]);
//   ...
//   convert_to_vmdk(disk.file, dir / "disk.vmdk", VmdkKind::monolithic_sparse);
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/byte_range.h"
#include "tests/support/ntfs_image.h"

namespace vmferry::test {

enum class PartitionTable { none, mbr, gpt };
enum class PartitionKind { basic_data, efi, reserved, recovery, linux_data };

struct Partition {
  std::string name = {};    // GPT only
  std::uint64_t bytes = 0;  // 0: what is left; rounded down to 1 MiB
  PartitionKind kind = PartitionKind::basic_data;
  bool logical = false;  // MBR only: inside the extended partition, which holds all that is left after the others
  std::optional<NtfsFormat> ntfs = {};  // formatted so; else left as zeros
};

struct DiskImage {
  std::filesystem::path file;
  std::uint64_t bytes = 0;
  std::vector<ByteRange> partitions;  // as they were asked for, each at a multiple of 1 MiB
};

// Partitions begin at 1 MiB and lie one after another. With PartitionTable::none the first one is the whole disk.
// 512-byte sectors. Throws std::runtime_error where they do not fit.
DiskImage make_disk(const std::filesystem::path& file, std::uint64_t bytes, PartitionTable table,
                    const std::vector<Partition>& partitions);

enum class VmdkKind { monolithic_sparse, monolithic_flat, split_sparse, split_flat, stream_optimized };
// The names that qemu-img and VMware use: "monolithicSparse", ...
std::string_view vmdk_kind_name(VmdkKind kind);
void convert_to_vmdk(const std::filesystem::path& raw, const std::filesystem::path& vmdk, VmdkKind kind);
// qemu-img as a judge: any image to raw.
void convert_to_raw(const std::filesystem::path& image, const std::filesystem::path& raw);

// A monolithicFlat descriptor for a raw image that lies beside it: nothing is copied. The flat file's name must be in
// the same directory.
void write_flat_descriptor(const std::filesystem::path& vmdk, const std::filesystem::path& flat_file,
                           std::string_view uuid = {});

}  // namespace vmferry::test
