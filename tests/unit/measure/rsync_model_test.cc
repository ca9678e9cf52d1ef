// rsync's algorithm over two disks: its own block size, what it finds, and the same as the program itself says.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "engine/measure/rsync_model.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::measure {
namespace {

namespace fs = std::filesystem;
using limits::KiB;
using limits::MiB;

void write_file(const fs::path& file, ByteView content, std::uint64_t size = 0) {
  std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(content.data()),
                                              static_cast<std::streamsize>(content.size()));
  if (size > content.size()) fs::resize_file(file, size);
}

void put(Bytes& content, std::size_t at, const Bytes& bytes) {
  std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<std::ptrdiff_t>(at));
}

class RsyncModelTest : public testing::Test {
 protected:
  RsyncBytes compare(const Bytes& former, const Bytes& present) {
    write_file(former_, former);
    write_file(present_, present);
    return rsync_between(*disk::open_disk(former_), *disk::open_disk(present_), [](std::uint64_t) {});
  }

  // "Literal data: 1,234 bytes" of --stats; nothing where rsync is not installed.
  std::optional<std::uint64_t> literal_by_rsync() {
    if (test::run({"sh", "-c", "command -v rsync"}).exit_code != 0) return std::nullopt;
    const auto result = test::run_ok({"rsync", "--inplace", "--no-whole-file", "--ignore-times", "--stats",
                                      present_.string(), former_.string()});
    const std::string label = "Literal data: ";
    std::string digits;
    for (std::size_t at = result.out.find(label) + label.size(); result.out[at] != ' '; ++at)
      if (result.out[at] != ',' && result.out[at] != '.') digits += result.out[at];
    return std::stoull(digits);
  }

  void expect_what_rsync_sends(const Bytes& former, const Bytes& present) {
    const RsyncBytes ours = compare(former, present);
    const auto literal = literal_by_rsync();
    if (!literal) GTEST_SKIP() << "rsync is not installed: our numbers were not compared with its own";
    EXPECT_NEAR(static_cast<double>(ours.literal), static_cast<double>(*literal), static_cast<double>(*literal) * 0.02);
    EXPECT_EQ(ours.literal + ours.matched, present.size());
  }

  test::TemporaryDirectory directory_;
  fs::path former_ = directory_ / "former.raw", present_ = directory_ / "present.raw";
};

TEST_F(RsyncModelTest, TheBlockSizeIsRsyncs) {
  EXPECT_EQ(rsync_block_bytes(0), 700U);
  EXPECT_EQ(rsync_block_bytes(490'000), 700U);
  EXPECT_EQ(rsync_block_bytes(64 * MiB), 8192U);
  EXPECT_EQ(rsync_block_bytes(6'442'450'944), 80'264U);
  EXPECT_EQ(rsync_block_bytes(std::uint64_t{1} << 40), 131'072U);
}

TEST_F(RsyncModelTest, AnUnchangedDiskIsAllFound) {
  const Bytes disk = test::random_bytes(1, 4 * MiB);
  const RsyncBytes bytes = compare(disk, disk);
  EXPECT_EQ(bytes.literal, 0U);
  EXPECT_EQ(bytes.matched, disk.size());
  EXPECT_EQ(bytes.blocks, 2048U);
}

TEST_F(RsyncModelTest, AFirstNightIsTheWholeDisk) {
  const RsyncBytes bytes = rsync_first(100'000);
  EXPECT_EQ(bytes.literal, 100'000U);
  EXPECT_EQ(rsync_traffic(bytes).sent_bytes, 100'000U + 4 * 4);
}

TEST_F(RsyncModelTest, ScatteredChangesSendWhatRsyncSends) {
  Bytes disk = test::random_bytes(1, 16 * MiB);
  const Bytes former = disk;
  for (std::size_t i = 0; i < 50; ++i) put(disk, i * 300'000 + 77, test::random_bytes(100 + i, 3000));
  expect_what_rsync_sends(former, disk);
}

TEST_F(RsyncModelTest, WhatMovedBackwardsIsFoundAndWhatMovedForwardsIsNot) {
  Bytes disk = test::random_bytes(1, 16 * MiB);
  const Bytes former = disk;
  std::copy(former.begin() + 4'000'000, former.begin() + 6'000'000, disk.begin() + 1'000'003);
  std::copy(former.begin() + 7'000'000, former.begin() + 9'000'000, disk.begin() + 12'000'001);
  expect_what_rsync_sends(former, disk);
}

TEST_F(RsyncModelTest, ZerosNextToChangesSendWhatRsyncSends) {
  Bytes former(16 * MiB);
  put(former, 0, test::random_bytes(1, 5 * MiB));
  put(former, 9 * MiB + 1234, test::random_bytes(2, 2 * MiB));
  Bytes disk = former;
  for (std::size_t i = 0; i < 20; ++i) put(disk, 5 * MiB + i * 150'000 + 999, test::random_bytes(100 + i, 5000));
  std::fill(disk.begin() + MiB + 321, disk.begin() + 2 * MiB + 77, std::byte{0});
  expect_what_rsync_sends(former, disk);
}

TEST_F(RsyncModelTest, ADiskThatGrewSendsWhatRsyncSends) {
  Bytes disk = test::random_bytes(1, 5'000'704);  // no multiple of the block
  const Bytes former = disk;
  const Bytes more = test::random_bytes(2, 700'416);
  disk.insert(disk.end(), more.begin(), more.end());
  put(disk, 2'000'000, test::random_bytes(3, 20 * KiB));
  expect_what_rsync_sends(former, disk);
}

TEST_F(RsyncModelTest, HolesAreZerosAndAreNotRead) {
  const Bytes head = test::random_bytes(1, MiB);
  write_file(former_, head, 2048 * MiB);
  write_file(present_, head, 2048 * MiB);
  const RsyncBytes bytes =
      rsync_between(*disk::open_disk(former_), *disk::open_disk(present_), [](std::uint64_t) {});
  EXPECT_EQ(bytes.literal, 0U);
  EXPECT_EQ(bytes.matched, 2048 * MiB);
}

TEST_F(RsyncModelTest, AThrowingTickEndsIt) {
  const Bytes disk = test::random_bytes(1, 4 * MiB);
  write_file(former_, disk);
  EXPECT_THROW(rsync_between(*disk::open_disk(former_), *disk::open_disk(former_),
                             [](std::uint64_t) { throw std::runtime_error("stop"); }),
               std::runtime_error);
}

}  // namespace
}  // namespace vmferry::measure
