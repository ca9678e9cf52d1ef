// The bench's floor: it judges vmferry, so it must be right itself.
#include <gtest/gtest.h>

#include "bench/floor/floor.h"
#include "tests/support/content.h"
#include "tests/support/disk_image.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::bench {
namespace {

using namespace vmferry::test;

constexpr std::uint64_t MiB = 1 << 20;

class FloorTest : public testing::Test {
 protected:
  FloorTest() {
    disk_ = make_disk(day1_, 48 * MiB, PartitionTable::gpt, {{.name = "Data", .ntfs = NtfsFormat{}}});
    NtfsImage volume(day1_, disk_.partitions[0]);
    volume.write_file("/docs/large.bin", random_bytes(1, 3 * MiB));
    volume.write_fragmented("/docs/other.bin", random_bytes(2, MiB), 64 * 1024);
    volume.write_pagefile(MiB, 3);
    volume.close();
    std::filesystem::copy_file(day1_, day2_);
  }
  NtfsImage second_day() { return NtfsImage(day2_, disk_.partitions[0]); }
  std::uint64_t floor_of_files() {
    std::uint64_t bytes = 0;
    for (const FloorRow& row : compute_floor(day1_, day2_).rows)
      if (row.kind == StreamKind::file) bytes += row.floor_bytes;
    return bytes;
  }

  TemporaryDirectory directory_;
  std::filesystem::path day1_ = directory_.path() / "day1.raw";
  std::filesystem::path day2_ = directory_.path() / "day2.raw";
  DiskImage disk_;
};

TEST_F(FloorTest, TwoEqualDisksCostNothing) {
  const FloorReport report = compute_floor(day1_, day2_);
  EXPECT_EQ(report.floor_bytes, 0U);
  EXPECT_TRUE(report.rows.empty());
  EXPECT_GT(report.data_bytes, 4 * MiB);
}

TEST_F(FloorTest, AChangedFileCostsAboutItsChange) {
  NtfsImage volume = second_day();
  volume.overwrite("/docs/large.bin", MiB + 100, random_bytes(9, 100'000));
  volume.close();
  EXPECT_GT(floor_of_files(), 100'000U);
  EXPECT_LT(floor_of_files(), 104'000U);
}

TEST_F(FloorTest, CopiesRenamesAndOtherPlacesCostOnlyMetadata) {
  NtfsImage volume = second_day();
  volume.write_file("/copy.bin", volume.read_file("/docs/large.bin"));
  volume.rename("/docs/other.bin", "/moved.bin");
  volume.close();
  EXPECT_EQ(floor_of_files(), 0U);
  const FloorReport report = compute_floor(day1_, day2_);
  EXPECT_GT(report.floor_bytes, 0U);
  EXPECT_LT(report.floor_bytes, 16'384U);
}

TEST_F(FloorTest, ADefragmentedFileIsTheSameElsewhereAndCostsNothing) {
  NtfsImage volume = second_day();
  const Bytes content = volume.read_file("/docs/other.bin");
  const auto before = volume.runs("/docs/other.bin");
  const NtfsTimes times = volume.times("/docs/other.bin");
  ASSERT_GT(before.size(), 1U);
  EXPECT_TRUE(volume.move_clusters("/docs/other.bin"));
  volume.close();
  const NtfsImage after(day2_, disk_.partitions[0], NtfsAccess::read_only);
  EXPECT_EQ(after.read_file("/docs/other.bin"), content);
  EXPECT_EQ(after.runs("/docs/other.bin").size(), 1U);
  EXPECT_EQ(after.times("/docs/other.bin").modified, times.modified);
  EXPECT_EQ(floor_of_files(), 0U);
}

TEST_F(FloorTest, AFileThatIsRenamedAndChangedHasItsFormerSelf) {
  NtfsImage volume = second_day();
  volume.rename("/docs/other.bin", "/moved.bin");
  volume.overwrite("/moved.bin", 5000, random_bytes(9, 1000));
  volume.close();
  EXPECT_LT(floor_of_files(), 3000U);
}

TEST_F(FloorTest, PagefileAndFreeClustersAreLeftOut) {
  NtfsImage volume = second_day();
  volume.overwrite("/pagefile.sys", 0, random_bytes(7, MiB));
  volume.dirty_free_space(0.3, 8);
  volume.close();
  EXPECT_LT(compute_floor(day1_, day2_).floor_bytes, 16'384U);
}

TEST_F(FloorTest, OpaqueRangesAreComparedByPlace) {
  std::filesystem::resize_file(day2_, 48 * MiB);
  std::FILE* file = std::fopen(day2_.c_str(), "r+b");
  ASSERT_NE(file, nullptr);
  std::fseek(file, 512 * 1024, SEEK_SET);  // before the first partition
  const Bytes content = random_bytes(5, 4096);
  std::fwrite(content.data(), 1, content.size(), file);
  std::fclose(file);
  const FloorReport report = compute_floor(day1_, day2_);
  ASSERT_EQ(report.rows.size(), 1U);
  EXPECT_EQ(report.rows[0].kind, StreamKind::opaque);
  EXPECT_GT(report.floor_bytes, 4096U);
  EXPECT_LT(report.floor_bytes, 4300U);
}

}  // namespace
}  // namespace vmferry::bench
