#include <random>

#include "protocol/error.h"
#include "tests/support/content.h"
#include "tests/unit/crack/cracked.h"

namespace vmferry::crack {
namespace {

using test::NtfsImage;
using test::TemporaryDirectory;
constexpr std::uint64_t MiB = 1 << 20;

std::vector<StreamRun> runs_by_library(const NtfsImage& image, std::string_view path, std::string_view stream = {}) {
  std::vector<StreamRun> runs;
  for (const test::NtfsRun& run : image.runs(path, stream)) {
    const std::uint64_t lcn = run.lcn < 0 ? StreamRun::run_hole : static_cast<std::uint64_t>(run.lcn);
    if (!runs.empty() && lcn != StreamRun::run_hole && runs.back().lcn != StreamRun::run_hole &&
        runs.back().lcn + runs.back().clusters == lcn) {
      runs.back().clusters += run.clusters;
    } else if (!runs.empty() && lcn == StreamRun::run_hole && runs.back().lcn == lcn) {
      runs.back().clusters += run.clusters;
    } else {
      runs.push_back({lcn, run.clusters});
    }
  }
  return runs;
}

// Every cluster by $Bitmap, and how many streams own it.
void expect_ownership_is_exact(const Cracked& cracked) {
  std::vector<std::uint8_t> owners(cracked.facts->clusters), allocated(cracked.facts->clusters);
  for (const auto& [lcn, clusters] : cracked.allocated_ranges) {
    for (std::uint64_t i = 0; i < clusters; ++i) allocated[lcn + i] = 1;
  }
  std::uint64_t twice = 0;
  for (const StreamEvent& event : cracked.streams) {
    for (const StreamRun& run : event.stream.runs) {
      if (run.lcn == StreamRun::run_hole) continue;
      for (std::uint64_t i = 0; i < run.clusters; ++i) twice += owners[run.lcn + i]++ > 0 ? 1 : 0;
    }
  }
  EXPECT_EQ(twice, cracked.totals->overlapping_clusters);
  std::uint64_t owned_but_free = 0;
  for (std::size_t i = 0; i < owners.size(); ++i) owned_but_free += owners[i] != 0 && allocated[i] == 0 ? 1 : 0;
  EXPECT_EQ(owned_but_free, 0U);
}

TEST(Volume, EveryFileAndEveryClusterOfAVolumeIsToldAsTheLibrarySeesIt) {
  const TemporaryDirectory directory;
  NtfsImage::format(directory / "a.img", 64 * MiB);
  NtfsImage image(directory / "a.img");
  image.write_file("/Users/ann/notes.txt", test::text_bytes(1, 5000));
  image.write_file("/Users/ann/tiny.txt", "a few bytes");
  image.write_file("/big.bin", test::random_bytes(2, 3 * MiB));
  image.close();
  const Cracked cracked = crack_file(directory / "a.img");
  EXPECT_EQ(cracked.facts->label, "Data");
  EXPECT_EQ(cracked.facts->cluster_bytes, 4096U);
  EXPECT_TRUE(cracked.facts->cleanly_closed);
  EXPECT_FALSE(cracked.facts->hibernated);
  const NtfsImage reopened(directory / "a.img", test::NtfsAccess::read_only);
  for (const char* path : {"Users/ann/notes.txt", "big.bin"}) {
    const NameEntry* name = cracked.find(path);
    ASSERT_NE(name, nullptr) << path;
    const StreamEvent* stream = cracked.stream_of(name->record);
    ASSERT_NE(stream, nullptr) << path;
    EXPECT_EQ(stream->stream.data_bytes, reopened.file_bytes(path));
    EXPECT_EQ(name->data_bytes, reopened.file_bytes(path));
    EXPECT_EQ(stream->stream.runs, runs_by_library(reopened, path));
  }
  const StreamEvent* tiny = cracked.stream_of(cracked.find("Users/ann/tiny.txt")->record);
  ASSERT_NE(tiny, nullptr);
  EXPECT_TRUE(tiny->stream.resident);
  EXPECT_EQ(cracked.totals->files, 3U);
  EXPECT_EQ(cracked.totals->unreadable_records, 0U);
  std::uint64_t used = 0;
  for (const auto& range : cracked.allocated_ranges) used += range.second;
  EXPECT_EQ((cracked.facts->clusters - used) * 4096, reopened.free_bytes());
  expect_ownership_is_exact(cracked);
}

}  // namespace
}  // namespace vmferry::crack
