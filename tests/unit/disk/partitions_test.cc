#include "engine/disk/partitions.h"
#include "protocol/limits.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/disk/disk_model.h"

namespace vmferry::disk::test {
namespace {

using limits::MiB;

class MemoryDisk final : public Disk {
 public:
  explicit MemoryDisk(Bytes bytes) : bytes_(std::move(bytes)) {}
  std::uint64_t size_bytes() const noexcept override { return bytes_.size(); }
  void read(std::uint64_t offset, std::span<std::byte> into) const override {
    if (!range_fits(offset, into.size(), bytes_.size())) throw Error(ErrorCode::malformed, "past the end");
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
  }
  DiskExtent extent_at(std::uint64_t offset) const override { return {{offset, bytes_.size() - offset}, false}; }
  const DiskDescription& description() const noexcept override { return description_; }
  const std::vector<DiskFile>& files() const noexcept override { return files_; }

 private:
  Bytes bytes_;
  DiskDescription description_;
  std::vector<DiskFile> files_;
};

// Partitioned by the tools of another project, in a file.
Bytes partitioned(const TemporaryFolder& folder, std::uint64_t size, const std::vector<std::string>& command) {
  const auto path = folder / "disk.raw";
  write_file(path, Bytes(size));
  std::vector<std::string> whole = command;
  whole.push_back(path.string());
  const Ran ran = run(whole);
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  return read_file(path);
}

void mbr_entry(Bytes& disk, std::size_t sector, int index, unsigned type, std::uint64_t first, std::uint64_t count) {
  const std::size_t at = sector * 512 + 446 + static_cast<std::size_t>(index) * 16;
  put(disk, at + 4, type, 1);
  put(disk, at + 8, first, 4);
  put(disk, at + 12, count, 4);
  put(disk, sector * 512 + 510, 0xaa55, 2);
}

void ntfs_at(Bytes& disk, std::size_t offset) {
  std::ranges::copy(as_bytes("\xeb\x52\x90NTFS    "), disk.begin() + static_cast<std::ptrdiff_t>(offset));
}

void expect_sane(const PartitionTable& table, std::uint64_t size) {
  std::uint64_t end = 0;
  for (const Partition& partition : table.partitions) {
    EXPECT_GE(partition.range.offset, end);
    EXPECT_GT(partition.range.length, 0U);
    EXPECT_TRUE(range_fits(partition.range.offset, partition.range.length, size));
    end = partition.range.end();
  }
}

TEST(Mbr, PrimaryAndLogicalPartitionsAreNumberedAsTheGuestNumbersThem) {
  Bytes disk(64 * MiB);
  put(disk, 440, 0xcafe1234, 4);
  mbr_entry(disk, 0, 0, 0x07, 2048, 8192);
  mbr_entry(disk, 0, 2, 0x83, 20480, 2048);
  mbr_entry(disk, 0, 3, 0x0f, 40960, 40960);
  mbr_entry(disk, 40960, 0, 0x07, 2048, 4096);        // absolute 43008
  mbr_entry(disk, 40960, 1, 0x05, 10240, 8192);       // the next list sector: 51200
  mbr_entry(disk, 51200, 0, 0x83, 2048, 4096);        // absolute 53248
  ntfs_at(disk, 2048 * 512);
  const PartitionTable table = read_partitions(MemoryDisk(disk));
  EXPECT_EQ(table.scheme, PartitionScheme::mbr);
  EXPECT_TRUE(table.problems.empty());
  EXPECT_FALSE(table.disk_id.is_none());
  ASSERT_EQ(table.partitions.size(), 4U);
  EXPECT_EQ(table.partitions[0].number, 1U);
  EXPECT_EQ(table.partitions[0].type, "ntfs/exfat");
  EXPECT_EQ(table.partitions[0].signature, "ntfs");
  EXPECT_EQ(table.partitions[0].range, (ByteRange{MiB, 4 * MiB}));
  EXPECT_EQ(table.partitions[1].number, 3U);
  EXPECT_EQ(table.partitions[2].number, 5U);
  EXPECT_EQ(table.partitions[2].range, (ByteRange{43008 * 512, 2 * MiB}));
  EXPECT_EQ(table.partitions[3].number, 6U);
  EXPECT_EQ(table.partitions[3].range, (ByteRange{53248 * 512, 2 * MiB}));
}

TEST(Mbr, ACircleOfLogicalPartitionsEnds) {
  Bytes disk(8 * MiB);
  mbr_entry(disk, 0, 0, 0x0f, 2048, 8192);
  mbr_entry(disk, 2048, 0, 0x07, 64, 64);
  mbr_entry(disk, 2048, 1, 0x05, 512, 64);
  mbr_entry(disk, 2560, 0, 0x07, 64, 64);
  mbr_entry(disk, 2560, 1, 0x05, 0, 64);
  const PartitionTable table = read_partitions(MemoryDisk(disk));
  EXPECT_EQ(table.partitions.size(), 2U);
  EXPECT_EQ(table.problems.size(), 1U);
}

TEST(Mbr, OverlappingPartitionsBelongToNobody) {
  Bytes disk(8 * MiB);
  mbr_entry(disk, 0, 0, 0x07, 2048, 4096);
  mbr_entry(disk, 0, 1, 0x07, 4096, 4096);
  mbr_entry(disk, 0, 2, 0x07, 10000, 1000);
  const PartitionTable table = read_partitions(MemoryDisk(disk));
  ASSERT_EQ(table.partitions.size(), 1U);
  EXPECT_EQ(table.partitions[0].number, 3U);
  EXPECT_EQ(table.problems.size(), 1U);
}

TEST(Mbr, ATableThatPointsOutsideGivesOneOpaqueVolume) {
  Bytes disk(MiB);
  mbr_entry(disk, 0, 0, 0x07, 2000, 4096);
  const PartitionTable table = read_partitions(MemoryDisk(disk));
  ASSERT_EQ(table.partitions.size(), 1U);
  EXPECT_EQ(table.partitions[0].range, (ByteRange{0, MiB}));
  EXPECT_FALSE(table.problems.empty());
}

TEST(Mbr, SectorsOf4KiBAreRecognisedByTheVolumesTheyLeadTo) {
  Bytes disk(16 * MiB);
  mbr_entry(disk, 0, 0, 0x07, 256, 1024);
  ntfs_at(disk, 256 * 4096);
  const PartitionTable table = read_partitions(MemoryDisk(disk));
  EXPECT_EQ(table.sector_bytes, 4096U);
  ASSERT_EQ(table.partitions.size(), 1U);
  EXPECT_EQ(table.partitions[0].range, (ByteRange{MiB, 4 * MiB}));
}

TEST(NoTable, AVolumeAloneIsOneVolumeWithoutProblems) {
  Bytes disk(MiB);
  ntfs_at(disk, 0);
  put(disk, 510, 0xaa55, 2);
  const PartitionTable table = read_partitions(MemoryDisk(disk));
  EXPECT_EQ(table.scheme, PartitionScheme::none);
  ASSERT_EQ(table.partitions.size(), 1U);
  EXPECT_EQ(table.partitions[0].number, 1U);
  EXPECT_EQ(table.partitions[0].signature, "ntfs");
  EXPECT_TRUE(table.problems.empty());
  EXPECT_EQ(read_partitions(MemoryDisk(Bytes(512))).partitions.size(), 1U);
}

class Gpt : public ::testing::Test {
 protected:
  Gpt() {
    // Names beyond ASCII, and the numbers 2 and 5.
    disk = partitioned(folder, 24 * MiB,
                       {"/usr/sbin/sgdisk", "-n", "2:2048:+8M", "-t", "2:0700", "-c", "2:W\xc3\xb6rk \xf0\x9f\x92\xbe",
                        "-n", "5:24576:+4M", "-t", "5:ef00", "-u", "5:00112233-4455-6677-8899-aabbccddeeff", "-U",
                        "01234567-89ab-cdef-0123-456789abcdef"});
  }
  void expect_table(const PartitionTable& table) {
    EXPECT_EQ(table.scheme, PartitionScheme::gpt);
    EXPECT_EQ(table.disk_id.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
    ASSERT_EQ(table.partitions.size(), 2U);
    EXPECT_EQ(table.partitions[0].number, 2U);
    EXPECT_EQ(table.partitions[0].type, "basic-data");
    EXPECT_EQ(table.partitions[0].name, "W\xc3\xb6rk \xf0\x9f\x92\xbe");
    EXPECT_EQ(table.partitions[0].range, (ByteRange{MiB, 8 * MiB}));
    EXPECT_EQ(table.partitions[1].number, 5U);
    EXPECT_EQ(table.partitions[1].type, "efi");
    EXPECT_EQ(table.partitions[1].unique_id.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
  }
  TemporaryFolder folder;
  Bytes disk;
};

TEST_F(Gpt, IsReadAsItsToolWroteIt) {
  const PartitionTable table = read_partitions(MemoryDisk(disk));
  expect_table(table);
  EXPECT_TRUE(table.problems.empty());
}

TEST_F(Gpt, DamageOfTheFirstTableOrHeaderIsMadeGoodByTheCopy) {
  for (const std::size_t damaged : {512 + 40, 1024 + 128 + 5}) {
    Bytes copy = disk;
    copy[damaged] ^= std::byte{1};
    const PartitionTable table = read_partitions(MemoryDisk(copy));
    expect_table(table);
    EXPECT_EQ(table.problems.size(), 1U);
  }
}

TEST_F(Gpt, DamageOfBothGivesOneOpaqueVolume) {
  disk[512 + 40] ^= std::byte{1};
  disk[disk.size() - 512 + 40] ^= std::byte{1};
  const PartitionTable table = read_partitions(MemoryDisk(disk));
  EXPECT_EQ(table.scheme, PartitionScheme::none);
  EXPECT_EQ(table.partitions.size(), 1U);
  EXPECT_EQ(table.problems.size(), 1U);
}

TEST_F(Gpt, AHybridMbrDoesNotHideIt) {
  mbr_entry(disk, 0, 1, 0x07, 2048, 16384);
  expect_table(read_partitions(MemoryDisk(disk)));
}

TEST_F(Gpt, BehindAnMbrThatDoesNotProtectItItIsALeftover) {
  std::fill_n(disk.begin() + 446, 64, std::byte{0});
  mbr_entry(disk, 0, 0, 0x07, 4096, 4096);
  EXPECT_EQ(read_partitions(MemoryDisk(disk)).scheme, PartitionScheme::mbr);
}

TEST(AnyTable, GarbageNeverThrowsAndNeverOverlaps) {
  std::mt19937 random(1);
  const TemporaryFolder folder;
  const Bytes gpt = partitioned(folder, 4 * MiB, {"/usr/sbin/sgdisk", "-n", "1:2048:+1M", "-n", "3:0:0"});
  for (int i = 0; i < 900; ++i) {
    Bytes disk = i % 3 == 0 ? gpt : Bytes(64 * 1024);
    if (i % 3 == 1)
      for (std::byte& b : disk) b = static_cast<std::byte>(random());
    for (int e = 0; e < 4 && i % 3 != 0; ++e)
      mbr_entry(disk, 0, e, i % 2 == 0 ? 0x05 : random() % 256, random() % 128, random() % 128);
    for (std::size_t s = 1; s < 100 && i % 3 == 2; ++s)
      for (int e = 0; e < 2; ++e) mbr_entry(disk, s, e, e == 0 ? 7 : 5, random() % 128, random() % 99);
    if (i % 3 == 1) std::fill_n(disk.begin() + 446, 1, std::byte{0});
    if (i % 3 == 0)
      for (int k = 0; k < 3; ++k) disk[random() % 2048] ^= static_cast<std::byte>(1 << random() % 8);
    const PartitionTable table = read_partitions(MemoryDisk(disk));
    expect_sane(table, disk.size());
  }
}

}  // namespace
}  // namespace vmferry::disk::test
