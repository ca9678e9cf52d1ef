#include "protocol/limits.h"
#include "tests/support/ntfs_image.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/content.h"
#include "tests/support/process.h"
#include "tests/support/sparse_file.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::test {
namespace {

using limits::MiB;

class NtfsImageTest : public ::testing::Test {
 protected:
  // ntfsfix and ntfscat are separate programs: what they read is on the disk, not in our caches.
  Bytes read_by_ntfscat(const std::string& path, const std::vector<std::string>& options = {}) const {
    std::vector<std::string> words{"ntfscat", "-f"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {file_.string(), path});
    const std::string out = run_ok(words).out;
    const ByteView bytes = as_bytes(out);
    return {bytes.begin(), bytes.end()};
  }
  void expect_consistent() const {
    const ProcessResult result = run({"ntfsfix", "-n", file_.string()});
    EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
    EXPECT_EQ(result.out.find("rror"), std::string::npos) << result.out;
  }

  TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_ / "volume.img";
};

TEST_F(NtfsImageTest, FilesAreReadBackByAnIndependentProgram) {
  NtfsImage::format(file_, 64 * MiB, {.label = "Test"});
  const Bytes small = text_bytes(1, 100);
  const Bytes large = random_bytes(2, 3 * MiB + 17);
  NtfsImage image(file_);
  image.write_file("/Users/Ann/Größe 測試 😀.txt", small);
  image.write_file("/large.bin", large);
  EXPECT_EQ(image.read_file("/users/ANN/Größe 測試 😀.TXT"), small);
  EXPECT_EQ(image.read_file("/LARGE.BIN"), large);
  EXPECT_TRUE(image.runs("/Users/Ann/Größe 測試 😀.txt").empty()) << "a small file is resident";
  EXPECT_FALSE(image.runs("/large.bin").empty());
  image.close();
  EXPECT_EQ(read_by_ntfscat("/large.bin"), large);
  EXPECT_EQ(read_by_ntfscat("/Users/Ann/Größe 測試 😀.txt"), small);
  expect_consistent();
}

TEST_F(NtfsImageTest, ChangesOfContentAreWhatTheyWouldBeInMemory) {
  NtfsImage::format(file_, 64 * MiB);
  Bytes expected = random_bytes(3, 500'000);
  NtfsImage image(file_);
  image.write_file("/db", expected);
  const Bytes page = text_bytes(4, 4096);
  image.overwrite("/db", 123'456, page);
  std::copy(page.begin(), page.end(), expected.begin() + 123'456);
  image.append("/db", page);
  expected.insert(expected.end(), page.begin(), page.end());
  EXPECT_EQ(image.read_file("/db"), expected);
  image.truncate("/db", 1000);
  expected.resize(1000);
  image.truncate("/db", 70'000);
  expected.resize(70'000);
  EXPECT_EQ(image.read_file("/db"), expected);
  image.close();
  EXPECT_EQ(read_by_ntfscat("/db"), expected);
  expect_consistent();
}

TEST_F(NtfsImageTest, NamesCanBeLinkedRenamedAndRemoved) {
  NtfsImage::format(file_, 64 * MiB);
  NtfsImage image(file_);
  image.write_file("/a/one", "1");
  image.hard_link("/a/one", "/b/two");
  EXPECT_EQ(image.record_number("/a/one"), image.record_number("/b/two"));
  image.rename("/a", "/renamed");
  EXPECT_FALSE(image.exists("/a"));
  image.remove("/renamed/one");
  EXPECT_EQ(image.read_file("/b/two"), Bytes{std::byte{'1'}});
  image.write_file("/tree/x/y/z", "deep");
  image.remove_tree("/tree");
  EXPECT_FALSE(image.exists("/tree"));
  image.write_file("/A long name.text", "short too");
  image.set_short_name("/A long name.text", "ALONGN~1.TEX");
  EXPECT_EQ(image.record_number("/ALONGN~1.TEX"), image.record_number("/A long name.text"));
  std::vector<std::string> names;
  for (const NtfsListEntry& entry : image.list("/")) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"A long name.text", "b", "renamed"}));
  image.close();
  expect_consistent();
}

TEST_F(NtfsImageTest, FilesAreReplacedInLargeDirectoriesAsInstallersDo) {
  NtfsImage::format(file_, 64 * MiB);
  NtfsImage image(file_);
  for (int i = 0; i < 300; ++i) {
    const std::string path = "/dir/file number " + std::to_string(i);
    image.write_file(path, "old");
    image.write_file(path + ".new", "new");
    image.remove(path);
    image.rename(path + ".new", path);
  }
  image.close();
  NtfsImage again(file_);
  EXPECT_EQ(again.list("/dir").size(), 300U);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(as_text(again.read_file("/dir/file number " + std::to_string(i))), "new");
  }
  again.close();
  expect_consistent();
}

TEST_F(NtfsImageTest, SpecialFilesAreWhatTheirNamesSay) {
  NtfsImage::format(file_, 64 * MiB);
  NtfsImage image(file_);
  const Bytes text = text_bytes(5, 300'000);
  image.write_compressed("/compressed.txt", text);
  image.write_sparse("/sparse", 8 * MiB, {{MiB, text}, {6 * MiB, text}});
  image.write_file("/with stream", "main");
  image.write_stream("/with stream", "Zone.Identifier", text);
  image.write_interleaved({{"/f1", random_bytes(6, 400'000)}, {"/f2", random_bytes(7, 300'000)}}, 20'000);
  image.make_symlink("/link", "with stream");
  image.make_junction("/junction", "C:\\Users");
  image.set_reparse_point("/f2", 0x80000013, text_bytes(8, 40));  // server deduplication

  const auto allocated = [&](const char* path) {
    std::uint64_t bytes = 0;
    for (const ByteRange& range : image.ranges(path)) bytes += range.length;
    return bytes;
  };
  EXPECT_EQ(image.read_file("/compressed.txt"), text);
  EXPECT_NE(image.attributes("/compressed.txt") & 0x800, 0U);
  EXPECT_LT(allocated("/compressed.txt"), text.size() * 8 / 10);
  EXPECT_NE(image.attributes("/sparse") & 0x200, 0U);
  EXPECT_LT(allocated("/sparse"), MiB);
  EXPECT_EQ(image.read_stream("/with stream", "Zone.Identifier"), text);
  EXPECT_EQ(image.read_file("/with stream").size(), 4U);
  EXPECT_GT(image.runs("/f1").size(), 10U);
  EXPECT_EQ(image.read_file("/f1"), random_bytes(6, 400'000));
  for (const char* path : {"/link", "/junction", "/f2"}) EXPECT_NE(image.attributes(path) & 0x400, 0U) << path;
  image.close();
  EXPECT_EQ(read_by_ntfscat("/compressed.txt"), text);
  EXPECT_EQ(read_by_ntfscat("/with stream", {"-n", "Zone.Identifier"}), text);
  expect_consistent();
}

TEST_F(NtfsImageTest, TimesAndAttributesAreKept) {
  NtfsImage::format(file_, 64 * MiB);
  {
    NtfsImage image(file_);
    image.write_file("/f", "x");
    image.set_attributes("/f", ntfs_hidden | ntfs_system);
    image.set_times("/f", {ntfs_time_from_unix(1'000'000'000), ntfs_time_from_unix(1'100'000'000),
                           ntfs_time_from_unix(1'200'000'000)});
    image.close();
  }
  const NtfsImage image(file_, NtfsAccess::read_only);
  EXPECT_EQ(image.attributes("/f") & 0x6, ntfs_hidden | ntfs_system);
  EXPECT_EQ(image.times("/f").created, ntfs_time_from_unix(1'000'000'000));
  EXPECT_EQ(image.times("/f").modified, ntfs_time_from_unix(1'100'000'000));
  EXPECT_EQ(image.times("/f").accessed, ntfs_time_from_unix(1'200'000'000));
}

TEST_F(NtfsImageTest, FreeSpaceIsDirtiedAndStaysFree) {
  NtfsImage::format(file_, 64 * MiB);
  NtfsImage image(file_);
  image.write_file("/kept", random_bytes(9, MiB));
  const std::uint64_t before = image.free_bytes();
  image.dirty_free_space(1.0, 10);
  EXPECT_EQ(image.free_bytes(), before);
  std::uint64_t dirty = 0;
  for (const ByteRange& range : image.free_ranges()) {
    const Bytes content = read_range(file_, range);
    for (std::size_t at = 0; at + 512 <= content.size(); at += 512) {
      dirty += std::any_of(content.data() + at, content.data() + at + 512, [](std::byte b) { return b != std::byte{}; })
                   ? 512
                   : 0;
    }
  }
  EXPECT_GT(dirty, before * 9 / 10);
  image.close();
  expect_consistent();
}

TEST_F(NtfsImageTest, WindowsSystemFilesAndFlagsAreThere) {
  NtfsImage::format(file_, 64 * MiB);
  NtfsImage image(file_);
  image.write_pagefile(3 * MiB, 1);
  image.write_swapfile(MiB, 2);
  image.write_hiberfile(2 * MiB, 3, true);
  image.set_dirty();
  image.close();
  EXPECT_EQ(as_text(ByteView(read_by_ntfscat("/hiberfil.sys")).first(4)), "hibr");
  NtfsImage again(file_, NtfsAccess::read_only);
  EXPECT_EQ(again.attributes("/pagefile.sys") & 0x6, ntfs_hidden | ntfs_system);
  EXPECT_EQ(again.file_bytes("/pagefile.sys"), 3 * MiB);
  const ProcessResult info = run({"ntfsinfo", "-m", "-f", file_.string()});
  EXPECT_NE(info.out.find("DIRTY"), std::string::npos) << info.out << info.err;
}

TEST_F(NtfsImageTest, EveryClusterSizeWorks) {
  for (const std::uint32_t cluster : {512U, 4096U, 65536U, 2U << 20}) {
    NtfsImage::format(file_, cluster * 8192ULL, {.cluster_bytes = cluster});
    NtfsImage image(file_);
    EXPECT_EQ(image.cluster_bytes(), cluster);
    const Bytes content = random_bytes(cluster, MiB + 1);
    image.write_file("/f", content);
    image.close();
    EXPECT_EQ(read_by_ntfscat("/f"), content) << cluster;
  }
}

TEST_F(NtfsImageTest, MissingFilesAndFullVolumesAreErrors) {
  NtfsImage::format(file_, 16 * MiB);
  NtfsImage image(file_);
  EXPECT_THROW(image.read_file("/absent"), std::runtime_error);
  EXPECT_THROW(image.remove("/absent"), std::runtime_error);
  EXPECT_THROW(image.write_file("/too large", 64 * MiB, [](std::uint64_t, std::span<std::byte>) {}),
               std::runtime_error);
}

}  // namespace
}  // namespace vmferry::test
