// Disks that qemu-img made, of every kind that it makes right, read back byte for byte.
#include <gtest/gtest.h>

#include "engine/disk/libvmdk_reader.h"
#include "tests/unit/disk/disk_model.h"

namespace vmferry::disk::test {
namespace {

class QemuKind : public ::testing::TestWithParam<const char*> {};

TEST_P(QemuKind, ReadsTheBytesThatWereConverted) {
  const TemporaryFolder folder;
  for (const std::uint32_t seed : {1U, 2U, 3U}) {
    // The last size is no multiple of a grain.
    const Bytes model = random_disk(seed == 3 ? 3 * 1024 * 1024 + 512 * 5 : 5 * 1024 * 1024, seed);
    write_file(folder / "model.raw", model);
    const std::string out = (folder / "out.vmdk").string();
    const Ran ran = run({"qemu-img", "convert", "-O", "vmdk", "-o", std::string("subformat=") + GetParam(),
                         (folder / "model.raw").string(), out});
    ASSERT_EQ(ran.exit_code, 0) << ran.output;
    const auto disk = open_disk(out);
    expect_disk(*disk, model);
    const LibvmdkReader judge(out);
    Bytes judged(model.size());
    ASSERT_EQ(judge.size_bytes(), model.size());
    judge.read(0, judged);
    EXPECT_EQ(judged, model) << "libvmdk differs";
    EXPECT_EQ(disk->description().format, GetParam());
    EXPECT_EQ(disk->description().adapter_type, "ide");
    EXPECT_GT(disk->description().geometry.cylinders, 0U);
    EXPECT_GT(hole_bytes(*disk), model.size() / 8);
    EXPECT_TRUE(changed_files(disk->files()).empty());
  }
}

INSTANTIATE_TEST_SUITE_P(AllKinds, QemuKind,
                         ::testing::Values("monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse",
                                           "twoGbMaxExtentFlat", "streamOptimized"));

TEST(RawImage, IsReadAsItIs) {
  const TemporaryFolder folder;
  const Bytes model = random_disk(1024 * 1024, 5);
  write_file(folder / "model.raw", model);
  const auto disk = open_disk(folder / "model.raw");
  expect_disk(*disk, model);
  EXPECT_EQ(disk->description().format, "raw");
  EXPECT_EQ(disk->description().cid, 0xffffffffU);
}

}  // namespace
}  // namespace vmferry::disk::test
