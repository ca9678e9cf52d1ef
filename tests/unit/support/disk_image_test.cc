#include "protocol/limits.h"
#include "tests/support/disk_image.h"

#include <gtest/gtest.h>

#include "tests/support/content.h"
#include "tests/support/process.h"
#include "tests/support/sparse_file.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::test {
namespace {

using limits::MiB;

// sfdisk reads tables by rules of its own.
std::string dump_by_sfdisk(const std::filesystem::path& disk) {
  return run_ok({"sfdisk", "--dump", disk.string()}).out;
}

std::string sectors_of(const ByteRange& range) {
  const std::string start = std::to_string(range.offset / 512);
  const std::string size = std::to_string(range.length / 512);
  return "start=" + std::string(12 - start.size(), ' ') + start + ", size=" + std::string(12 - size.size(), ' ') + size;
}

TEST(DiskImage, GptIsWhatSfdiskReads) {
  const TemporaryDirectory directory;
  const DiskImage disk = make_disk(directory / "disk.raw", 200 * MiB, PartitionTable::gpt,
                                   {{.name = "EFI", .bytes = 20 * MiB, .kind = PartitionKind::efi},
                                    {.name = "MSR", .bytes = 16 * MiB, .kind = PartitionKind::reserved},
                                    {.name = "Windows", .ntfs = NtfsFormat{.label = "System"}}});
  const ProcessResult verified = run({"sfdisk", "--verify", disk.file.string()});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
  EXPECT_EQ(verified.err, "");
  const std::string dump = dump_by_sfdisk(disk.file);
  EXPECT_NE(dump.find("label: gpt"), std::string::npos) << dump;
  for (const ByteRange& range : disk.partitions) EXPECT_NE(dump.find(sectors_of(range)), std::string::npos) << dump;
  EXPECT_NE(dump.find("type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B"), std::string::npos) << dump;
  EXPECT_NE(dump.find("type=E3C9E316-0B5C-4DB8-817D-F92DF00215AE"), std::string::npos) << dump;
  EXPECT_NE(dump.find("type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"), std::string::npos) << dump;
  EXPECT_NE(dump.find("name=\"Windows\""), std::string::npos) << dump;
}

TEST(DiskImage, MbrWithLogicalPartitionsIsWhatSfdiskReads) {
  const TemporaryDirectory directory;
  const DiskImage disk = make_disk(directory / "disk.raw", 200 * MiB, PartitionTable::mbr,
                                   {{.bytes = 30 * MiB},
                                    {.bytes = 40 * MiB, .kind = PartitionKind::linux_data},
                                    {.bytes = 20 * MiB, .logical = true},
                                    {.bytes = 25 * MiB, .logical = true},
                                    {.logical = true}});
  const std::string dump = dump_by_sfdisk(disk.file);
  for (const ByteRange& range : disk.partitions) EXPECT_NE(dump.find(sectors_of(range)), std::string::npos) << dump;
  EXPECT_EQ(disk.partitions.back().end(), 200 * MiB);
}

TEST(DiskImage, VolumeInsideEveryVmdkKindKeepsItsFiles) {
  const TemporaryDirectory directory;
  const DiskImage disk = make_disk(directory / "disk.raw", 64 * MiB, PartitionTable::mbr, {{.ntfs = NtfsFormat{}}});
  const Bytes content = text_bytes(1, 700'000);
  {
    NtfsImage volume(disk.file, disk.partitions[0]);
    volume.write_file("/Windows/notes.txt", content);
    volume.close();
  }
  for (const VmdkKind kind : {VmdkKind::monolithic_sparse, VmdkKind::monolithic_flat, VmdkKind::split_sparse,
                              VmdkKind::split_flat, VmdkKind::stream_optimized}) {
    const std::filesystem::path vmdk = directory / (std::string(vmdk_kind_name(kind)) + ".vmdk");
    convert_to_vmdk(disk.file, vmdk, kind);
    convert_to_raw(vmdk, directory / "back.raw");
    NtfsImage volume(directory / "back.raw", disk.partitions[0], NtfsAccess::read_only);
    EXPECT_EQ(volume.read_file("/Windows/notes.txt"), content) << vmdk;
  }
}

TEST(DiskImage, FlatDescriptorNamesTheFileBesideIt) {
  const TemporaryDirectory directory;
  const DiskImage disk =
      make_disk(directory / "disk-flat.vmdk", 64 * MiB, PartitionTable::none, {{.ntfs = NtfsFormat{}}});
  write_flat_descriptor(directory / "disk.vmdk", disk.file);
  convert_to_raw(directory / "disk.vmdk", directory / "back.raw");
  EXPECT_EQ(read_range(directory / "back.raw", {0, 64 * MiB}), read_range(disk.file, {0, 64 * MiB}));
}

TEST(DiskImage, PartitionsThatDoNotFitAreRefused) {
  const TemporaryDirectory directory;
  EXPECT_THROW(make_disk(directory / "d", 10 * MiB, PartitionTable::mbr, {{.bytes = 11 * MiB}}), std::runtime_error);
}

TEST(Process, OutputInputAndExitCodeArriveWhole) {
  const std::string input(300'000, 'x');
  const ProcessResult result = run({"sh", "-c", "cat; echo problem >&2; exit 3"}, {.input = input});
  EXPECT_EQ(result.out, input);
  EXPECT_EQ(result.err, "problem\n");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_GT(result.memory_bytes_max, 0U);
  EXPECT_EQ(run({"sh", "-c", "kill -9 $$"}).exit_code, 137);
  EXPECT_EQ(run({"sh", "-c", "pwd; echo $NAME"}, {.directory = "/", .environment = {{"NAME", "v"}}}).out, "/\nv\n");
  EXPECT_THROW(run({"vmferry-no-such-program"}), std::runtime_error);
}

TEST(Content, SameSeedGivesTheSameBytes) {
  EXPECT_EQ(random_bytes(7, 1001), random_bytes(7, 1001));
  EXPECT_NE(random_bytes(7, 1001), random_bytes(8, 1001));
  EXPECT_EQ(to_hex(random_bytes(0, 8)), "afcd1d7b39a820e2");  // SplitMix64's published first output
  EXPECT_EQ(text_bytes(7, 5000), text_bytes(7, 5000));
}

}  // namespace
}  // namespace vmferry::test
