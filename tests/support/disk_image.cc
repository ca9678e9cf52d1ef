#include "tests/support/disk_image.h"

#include <fstream>
#include <stdexcept>

#include "tests/support/partition_tables.h"
#include "tests/support/process.h"
#include "tests/support/sparse_file.h"

namespace vmferry::test {
namespace {

std::vector<ByteRange> place(std::uint64_t disk_bytes, PartitionTable table, const std::vector<Partition>& partitions) {
  if (table == PartitionTable::none) return {{0, disk_bytes}};
  // The last MiB is GPT's; an MBR disk does without it.
  const std::uint64_t end =
      disk_bytes / partition_alignment * partition_alignment - (table == PartitionTable::gpt ? partition_alignment : 0);
  std::vector<ByteRange> ranges;
  std::uint64_t at = partition_alignment;
  for (const Partition& partition : partitions) {
    if (partition.logical) at += partition_alignment;  // its record
    const std::uint64_t left = end > at ? end - at : 0;
    const std::uint64_t length =
        partition.bytes == 0 ? left : partition.bytes / partition_alignment * partition_alignment;
    if (length == 0 || length > left) throw std::runtime_error("the partitions do not fit the disk");
    ranges.push_back({at, length});
    at += length;
  }
  return ranges;
}

}  // namespace

DiskImage make_disk(const std::filesystem::path& file, std::uint64_t bytes, PartitionTable table,
                    const std::vector<Partition>& partitions) {
  if (partitions.empty() || (table == PartitionTable::none && partitions.size() != 1)) {
    throw std::runtime_error("a disk without a partition table holds one volume");
  }
  create_sparse_file(file, bytes);
  const std::vector<ByteRange> ranges = place(bytes, table, partitions);
  if (table == PartitionTable::mbr) write_mbr(file, partitions, ranges);
  if (table == PartitionTable::gpt) write_gpt(file, bytes, partitions, ranges);
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    if (partitions[i].ntfs) NtfsImage::format_range(file, ranges[i], *partitions[i].ntfs);
  }
  return {file, bytes, ranges};
}

std::string_view vmdk_kind_name(VmdkKind kind) {
  switch (kind) {
    case VmdkKind::monolithic_sparse: return "monolithicSparse";
    case VmdkKind::monolithic_flat: return "monolithicFlat";
    case VmdkKind::split_sparse: return "twoGbMaxExtentSparse";
    case VmdkKind::split_flat: return "twoGbMaxExtentFlat";
    case VmdkKind::stream_optimized: return "streamOptimized";
  }
  return {};
}

void convert_to_vmdk(const std::filesystem::path& raw, const std::filesystem::path& vmdk, VmdkKind kind) {
  run_ok({"qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=" + std::string(vmdk_kind_name(kind)),
          raw.string(), vmdk.string()});
}

void convert_to_raw(const std::filesystem::path& image, const std::filesystem::path& raw) {
  run_ok({"qemu-img", "convert", "-O", "raw", image.string(), raw.string()});
}

void write_flat_descriptor(const std::filesystem::path& vmdk, const std::filesystem::path& flat_file,
                           std::string_view uuid) {
  const std::uint64_t sectors = std::filesystem::file_size(flat_file) / sector_bytes;
  std::ofstream out(vmdk, std::ios::trunc);
  out << "# Disk DescriptorFile\nversion=1\nCID=5c1ad70e\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\n"
      << "# Extent description\nRW " << sectors << " FLAT \"" << flat_file.filename().string() << "\" 0\n\n"
      << "# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"14\"\nddb.geometry.cylinders = \""
      << std::min<std::uint64_t>(sectors / (16 * 63), 16383)
      << "\"\nddb.geometry.heads = \"16\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"lsilogic\"\n";
  if (!uuid.empty()) out << "ddb.uuid = \"" << uuid << "\"\n";
  if (!out.flush()) throw std::runtime_error("cannot write " + vmdk.string());
}

}  // namespace vmferry::test
