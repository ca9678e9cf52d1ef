#include <algorithm>
#include <cstring>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/unit/crack/cracked.h"
#include "tests/unit/crack/log_builder.h"
#include "tests/unit/crack/record_editor.h"

namespace vmferry::crack {
namespace {

using test::NtfsImage;
using test::TemporaryDirectory;
using limits::MiB;

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

class ClusterSize : public testing::TestWithParam<std::pair<std::uint32_t, std::uint32_t>> {};
INSTANTIATE_TEST_SUITE_P(Sizes, ClusterSize,
                         testing::Values(std::pair{512U, 512U}, std::pair{1024U, 512U}, std::pair{4096U, 512U},
                                         std::pair{4096U, 4096U}, std::pair{65536U, 512U}, std::pair{2097152U, 512U}),
                         [](const auto& test) {
                           return std::to_string(test.param.first) + "Sectors" + std::to_string(test.param.second);
                         });

TEST_P(ClusterSize, FilesAndOwnershipAreExact) {
  const TemporaryDirectory directory;
  const auto [cluster_bytes, sector_bytes] = GetParam();
  const std::uint64_t size = cluster_bytes > 65536 ? 512 * MiB : 64 * MiB;
  NtfsImage::format(directory / "a.img", size, {.cluster_bytes = cluster_bytes, .sector_bytes = sector_bytes});
  NtfsImage image(directory / "a.img");
  for (int i = 0; i < 200; ++i) {
    image.write_file("/d/f" + std::to_string(i), test::random_bytes(static_cast<std::uint64_t>(i), static_cast<std::size_t>(i) * 300));
  }
  image.close();
  const Cracked cracked = crack_file(directory / "a.img");
  EXPECT_EQ(cracked.facts->cluster_bytes, cluster_bytes);
  EXPECT_EQ(cracked.totals->unreadable_records, 0U);
  EXPECT_EQ(cracked.totals->files, 200U);
  EXPECT_EQ(cracked.totals->directories, 1U);
  expect_ownership_is_exact(cracked);
  const NtfsImage reopened(directory / "a.img", test::NtfsAccess::read_only);
  for (const char* path : {"d/f10", "d/f199"}) {
    const StreamEvent* stream = cracked.stream_of(cracked.find(path)->record);
    EXPECT_EQ(stream->stream.data_bytes, reopened.file_bytes(path));
    if (!stream->stream.resident) {
      EXPECT_EQ(stream->stream.runs, runs_by_library(reopened, path));
    }
  }
}

class OneVolume : public testing::Test {
 protected:
  OneVolume() { NtfsImage::format(path, 128 * MiB); }
  TemporaryDirectory directory;
  std::filesystem::path path = directory / "a.img";
};

TEST_F(OneVolume, AFileOfThousandsOfFragmentsIsToldWhole) {
  NtfsImage image(path);
  const Bytes content = test::random_bytes(1, 6000 * 4096);
  image.write_interleaved({{"a", content}, {"b", content}}, 4096);
  image.close();
  const Cracked cracked = crack_file(path);
  EXPECT_EQ(cracked.totals->unreadable_records, 0U) << (cracked.totals->problems.empty() ? "" : cracked.totals->problems[0]);
  const StreamEvent* stream = cracked.stream_of(cracked.find("a")->record);
  ASSERT_NE(stream, nullptr);
  EXPECT_GT(stream->stream.runs.size(), 2000U);
  const NtfsImage reopened(path, test::NtfsAccess::read_only);
  EXPECT_EQ(stream->stream.runs, runs_by_library(reopened, "a"));
  expect_ownership_is_exact(cracked);
  VolumeFile volume(path);
  VolumeFiles files(volume.bytes(), {});
  EXPECT_EQ(read_whole(files, cracked.find("a")->record, content.size()), content);
}

TEST_F(OneVolume, SparseCompressedAndNamedStreamsLinksAndShortNames) {
  NtfsImage image(path);
  image.write_sparse("sparse", 20 * MiB, {{10 * MiB, test::random_bytes(1, 100000)}});
  image.write_compressed("compressed", test::text_bytes(2, 500000));
  image.write_file("named", "main");
  image.write_stream("named", "side", test::random_bytes(3, 70000));
  image.hard_link("named", "dir/second");
  image.write_file("a long name of a file.text", "x");
  image.set_short_name("a long name of a file.text", "ALONGN~1.TEX");
  image.close();
  const Cracked cracked = crack_file(path);
  const NtfsImage reopened(path, test::NtfsAccess::read_only);
  for (const char* name : {"sparse", "compressed"}) {
    EXPECT_EQ(cracked.stream_of(cracked.find(name)->record)->stream.runs, runs_by_library(reopened, name)) << name;
  }
  EXPECT_NE(cracked.stream_of(cracked.find("sparse")->record)->stream.flags & 0x8000, 0);
  EXPECT_EQ(cracked.stream_of(cracked.find("sparse")->record)->stream.runs[0].lcn, StreamRun::run_hole);
  EXPECT_NE(cracked.stream_of(cracked.find("compressed")->record)->stream.flags & 1, 0);
  const NameEntry* named = cracked.find("named");
  EXPECT_EQ(cracked.find("dir/second")->record, named->record);
  EXPECT_EQ(cracked.stream_of(named->record, u"side")->stream.runs, runs_by_library(reopened, "named", "side"));
  const NameEntry* alias = cracked.find("ALONGN~1.TEX");
  ASSERT_NE(alias, nullptr);
  EXPECT_TRUE(alias->is_short_name);
  EXPECT_FALSE(cracked.find("a long name of a file.text")->is_short_name);
  expect_ownership_is_exact(cracked);
}

TEST_F(OneVolume, OnlyHiddenSystemFilesInTheRootMayBeLeftOut) {
  NtfsImage image(path);
  image.write_pagefile(MiB, 1);
  image.write_swapfile(MiB, 2);
  image.write_hiberfile(MiB, 3, false);
  image.write_file("dir/pagefile.sys", test::random_bytes(4, 100000));
  image.set_attributes("dir/pagefile.sys", test::ntfs_hidden | test::ntfs_system);
  image.close();
  const Cracked cracked = crack_file(path);
  EXPECT_FALSE(cracked.facts->hibernated);
  EXPECT_EQ(cracked.stream_of(cracked.find("pagefile.sys")->record)->excludable, 1);
  EXPECT_EQ(cracked.stream_of(cracked.find("swapfile.sys")->record)->excludable, 1);
  EXPECT_EQ(cracked.stream_of(cracked.find("hiberfil.sys")->record)->excludable, 2);
  EXPECT_EQ(cracked.stream_of(cracked.find("dir/pagefile.sys")->record)->excludable, 0);
}

TEST_F(OneVolume, APagefileThatIsNotHiddenOrHasAnotherNameIsAFileLikeAnyOther) {
  NtfsImage image(path);
  image.write_file("pagefile.sys", test::random_bytes(4, 100000));
  image.write_swapfile(MiB, 2);
  image.hard_link("swapfile.sys", "treasure.txt");
  image.close();
  const Cracked cracked = crack_file(path);
  EXPECT_EQ(cracked.stream_of(cracked.find("pagefile.sys")->record)->excludable, 0);
  EXPECT_EQ(cracked.stream_of(cracked.find("swapfile.sys")->record)->excludable, 0);
}

TEST_F(OneVolume, ASleepingWindowsADirtyFlagAndShadowCopiesAreSeen) {
  NtfsImage image(path);
  image.write_hiberfile(MiB, 3, true);
  image.write_file("System Volume Information/{3808876b-c176-4e48-b7ae-04046e6cc752}", "the catalog alone is no copy");
  image.set_dirty();
  image.close();
  Cracked cracked = crack_file(path);
  EXPECT_TRUE(cracked.facts->hibernated);
  EXPECT_TRUE(cracked.facts->dirty);
  EXPECT_FALSE(cracked.facts->shadow_copies);
  NtfsImage again(path);
  again.write_file("System Volume Information/{11111111-2222-3333-4444-555555555555}{3808876B-C176-4e48-b7ae-04046e6cc752}", "x");
  again.close();
  cracked = crack_file(path);
  EXPECT_TRUE(cracked.facts->shadow_copies);
}

TEST_F(OneVolume, AMirrorThatDiffersIsToldAndHindersNobody) {
  NtfsImage image(path);
  image.write_file("a", test::random_bytes(1, 100000));
  image.close();
  EXPECT_FALSE(crack_file(path).facts->mft_mirror_differs);
  const Bytes boot = read_at(path, 0, 512);
  std::uint64_t mirror_lcn;
  std::memcpy(&mirror_lcn, boot.data() + 0x38, 8);
  write_at(path, mirror_lcn * 4096 + 1024 + 200, test::random_bytes(9, 50));
  const Cracked cracked = crack_file(path);
  EXPECT_TRUE(cracked.facts->mft_mirror_differs);
  VolumeFile volume(path);
  VolumeFiles files(volume.bytes(), {});
  EXPECT_EQ(read_whole(files, cracked.find("a")->record, 100000), test::random_bytes(1, 100000));
}

TEST_F(OneVolume, FreeClustersThatTheLogNamesAreKeptWhereItWasNotCleanlyClosed) {
  NtfsImage image(path);
  image.write_file("a", test::random_bytes(1, 100000));
  const std::uint64_t used = static_cast<std::uint64_t>(image.runs("a")[0].lcn);
  const ByteRange free = image.free_ranges().back();
  const std::uint64_t lcn = free.offset / 4096;
  LogBuilder log(image.log_file_bytes(), 1, 1);
  const std::uint64_t first = log.add_bitmap(LogBuilder::set_bits, LogBuilder::clear_bits, 0, static_cast<std::uint32_t>(lcn), 2);
  log.add_bitmap(LogBuilder::set_bits, LogBuilder::clear_bits, 0, static_cast<std::uint32_t>(used), 1);
  log.set_restart(first, first);
  Bytes content = log.finish();
  image.write_log_file(0, content);
  image.close();
  Cracked cracked = crack_file(path);
  EXPECT_FALSE(cracked.facts->cleanly_closed);
  EXPECT_TRUE(cracked.facts->log_readable);
  EXPECT_EQ(cracked.kept_ranges, (std::vector<std::pair<std::uint64_t, std::uint64_t>>{{lcn, 2}}));

  content[log.place_of(first) / 4096 * 4096 + 510] ^= std::byte{1};
  NtfsImage again(path, test::NtfsAccess::read_only);
  const ByteRange where = again.ranges("$LogFile").front();
  again.close();
  write_at(path, where.offset, content);
  cracked = crack_file(path);
  EXPECT_FALSE(cracked.facts->log_readable);
  EXPECT_FALSE(cracked.totals->problems.empty());
}

TEST_F(OneVolume, ClustersOfAPagefileThatTheLogNamesAreKept) {
  NtfsImage image(path);
  image.write_pagefile(MiB, 1);
  const std::uint64_t lcn = static_cast<std::uint64_t>(image.runs("pagefile.sys")[0].lcn);
  LogBuilder log(image.log_file_bytes(), 1, 1);
  const std::uint64_t first = log.add_bitmap(LogBuilder::clear_bits, LogBuilder::set_bits, 0, static_cast<std::uint32_t>(lcn), 2);
  log.add_bitmap(LogBuilder::set_bits, LogBuilder::clear_bits, 0, static_cast<std::uint32_t>(lcn + 7), 3);
  log.set_restart(first, first);
  image.write_log_file(0, log.finish());
  image.close();
  const Cracked cracked = crack_file(path);
  ASSERT_TRUE(cracked.facts->log_readable);
  EXPECT_EQ(cracked.stream_of(cracked.find("pagefile.sys")->record)->excludable, 1);
  EXPECT_EQ(cracked.kept_ranges, (std::vector<std::pair<std::uint64_t, std::uint64_t>>{{lcn, 2}, {lcn + 7, 3}}));
}

TEST_F(OneVolume, ADamagedRecordCostsItsFileAndNothingElse) {
  NtfsImage image(path);
  image.write_file("victim", test::random_bytes(1, 100000));
  image.write_file("other", test::random_bytes(2, 100000));
  image.close();
  const Cracked before = crack_file(path);
  const MftReference victim = before.find("victim")->record;
  RecordEditor editor(path, before, mft_record_number(victim));
  write_at(path, editor.volume_offset() + 510, test::random_bytes(3, 2));
  const Cracked cracked = crack_file(path);
  EXPECT_EQ(cracked.totals->unreadable_records, 1U);
  ASSERT_EQ(cracked.totals->problems.size(), 1U);
  EXPECT_EQ(cracked.stream_of(victim), nullptr);
  ASSERT_NE(cracked.find("other"), nullptr);
  EXPECT_EQ(cracked.stream_of(cracked.find("other")->record)->stream, before.stream_of(before.find("other")->record)->stream);
  EXPECT_EQ(cracked.allocated_ranges, before.allocated_ranges);
}

TEST_F(OneVolume, RunsOutsideTheVolumeOrWithoutEndCostTheirFile) {
  NtfsImage image(path);
  image.write_file("victim", test::random_bytes(1, 100000));
  image.close();
  const Cracked before = crack_file(path);
  const std::uint64_t record = mft_record_number(before.find("victim")->record);
  const Bytes hostile_pairs[] = {
      {std::byte{0x41}, std::byte{25}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0x7f}, std::byte{0}},
      {std::byte{0x11}, std::byte{25}, std::byte{0x80}, std::byte{0}},                        // before the first cluster
      {std::byte{0x11}, std::byte{0x80}, std::byte{1}, std::byte{0}},                         // a negative length
      {std::byte{0x11}, std::byte{24}, std::byte{1}, std::byte{0}},                           // too short
      {std::byte{0x9f}, std::byte{1}, std::byte{1}, std::byte{0}},                            // numbers of 15 bytes
      {std::byte{0x11}, std::byte{0}, std::byte{1}, std::byte{0}},                            // a run of nothing
  };
  for (const Bytes& pairs : hostile_pairs) {
    RecordEditor editor(path, before, record);
    const std::size_t data = editor.attribute(0x80);
    std::copy(pairs.begin(), pairs.end(), editor.bytes.begin() + static_cast<std::ptrdiff_t>(data + editor.get16(data + 0x20)));
    editor.save();
    const Cracked cracked = crack_file(path);
    EXPECT_EQ(cracked.totals->unreadable_records, 1U) << to_hex(pairs);
    EXPECT_NE(cracked.find("victim"), nullptr) << "its name is told all the same";
    EXPECT_EQ(cracked.stream_of(cracked.find("victim")->record), nullptr);
  }
}

TEST_F(OneVolume, ClustersOfTwoFilesAreCounted) {
  NtfsImage image(path);
  image.write_file("a", test::random_bytes(1, 10 * 4096));
  image.write_file("b", test::random_bytes(2, 10 * 4096));
  image.close();
  const Cracked before = crack_file(path);
  RecordEditor a(path, before, mft_record_number(before.find("a")->record));
  RecordEditor b(path, before, mft_record_number(before.find("b")->record));
  const std::size_t from = a.attribute(0x80), to = b.attribute(0x80);
  for (std::size_t i = 0x40; i < 0x48; ++i) b.bytes[to + i] = a.bytes[from + i];
  b.save();
  EXPECT_EQ(crack_file(path).totals->overlapping_clusters, 10U);
}

TEST_F(OneVolume, NamesThatAreNoNamesElsewhereAreToldAsTheyAre) {
  NtfsImage image(path);
  for (const char* name : {"xx", "axb", "nul"}) image.write_file(name, test::random_bytes(1, 5000));
  image.close();
  const Cracked before = crack_file(path);
  const std::u16string hostile[] = {u"..", u"a/b", std::u16string(u"n\0l", 3)};
  int i = 0;
  for (const char* name : {"xx", "axb", "nul"}) {
    RecordEditor editor(path, before, mft_record_number(before.find(name)->record));
    const std::size_t link = editor.attribute(0x30);
    for (std::size_t unit = 0; unit < hostile[i].size(); ++unit) {
      editor.put16(link + editor.get16(link + 0x14) + 0x42 + 2 * unit, hostile[i][unit]);
    }
    editor.save();
    ++i;
  }
  const Cracked cracked = crack_file(path);
  for (const std::u16string& name : hostile) {
    EXPECT_EQ(std::ranges::count(cracked.names, name, &NameEntry::name), 1) << name.size();
  }
}

TEST_F(OneVolume, AnAttributeListThatLeadsNowhereOrToItselfCostsItsFile) {
  NtfsImage image(path);
  const Bytes content = test::random_bytes(1, 3000 * 4096);
  image.write_interleaved({{"a", content}, {"b", content}}, 4096);
  image.close();
  const Cracked before = crack_file(path);
  const MftReference victim = before.find("a")->record;
  RecordEditor editor(path, before, mft_record_number(victim));
  const std::size_t list = editor.attribute(0x20);
  const bool resident = editor.bytes[list + 8] == std::byte{0};
  const StreamEvent* stored = before.stream_of(victim, {}, 0x20);
  ASSERT_TRUE(resident || stored != nullptr);
  // The last entry's reference, wherever the list lies.
  const std::uint64_t at = resident ? editor.volume_offset() : stored->stream.runs[0].lcn * 4096;
  Bytes entries = read_at(path, at, resident ? 1024 : 4096);
  const std::size_t begin = resident ? list + editor.get16(list + 0x14) : 0;
  const std::size_t end = resident ? begin + editor.get32(list + 0x10) : stored->stream.data_bytes;
  for (const std::uint64_t target : {std::uint64_t{1} << 40, victim + 1, before.find("b")->record}) {
    std::size_t last = begin;
    for (std::size_t entry = begin; entry < end;) {
      last = entry;
      entry += std::to_integer<std::size_t>(entries[entry + 4]) | std::to_integer<std::size_t>(entries[entry + 5]) << 8;
    }
    std::memcpy(entries.data() + last + 0x10, &target, 8);
    write_at(path, at + last, ByteView(entries).subspan(last, 0x18));
    const Cracked cracked = crack_file(path);
    EXPECT_EQ(cracked.totals->unreadable_records, 1U) << target;
    EXPECT_EQ(cracked.stream_of(victim), nullptr);
    EXPECT_NE(cracked.stream_of(before.find("b")->record), nullptr);
  }
}

TEST_F(OneVolume, AFragmentedMftIsReadInAllItsPieces) {
  NtfsImage image(path);
  for (int i = 0; i < 600; ++i) image.write_file("f" + std::to_string(i), test::random_bytes(static_cast<std::uint64_t>(i), 5000));
  const ByteRange free = image.free_ranges().back();
  image.close();
  const Cracked before = crack_file(path);
  // Its last 8 clusters go elsewhere.
  const StreamEvent* mft = before.stream_of(before.streams[0].record);
  ASSERT_EQ(mft->stream.runs.size(), 1U);
  const StreamRun run = mft->stream.runs[0];
  const std::uint64_t moved = run.clusters - 8, target = free.offset / 4096 + 3;
  write_at(path, target * 4096, read_at(path, (run.lcn + moved) * 4096, 8 * 4096));
  write_at(path, (run.lcn + moved) * 4096, Bytes(8 * 4096));
  RecordEditor editor(path, before, 0);
  const std::size_t data = editor.attribute(0x80);
  std::size_t pairs = data + editor.get16(data + 0x20);
  const auto put = [&](std::uint64_t clusters, std::uint64_t delta) {
    editor.bytes[pairs] = std::byte{0x44};
    editor.put32(pairs + 1, static_cast<std::uint32_t>(clusters));
    editor.put32(pairs + 5, static_cast<std::uint32_t>(delta));
    pairs += 9;
  };
  // The attribute may have to grow: what follows it moves.
  const std::size_t length = editor.get32(data + 4), needed = 0x40 + 24;
  if (needed > length) {
    const std::size_t used = editor.get32(0x18), grow = needed - length;
    std::memmove(editor.bytes.data() + data + needed, editor.bytes.data() + data + length, used - data - length);
    editor.put32(data + 4, static_cast<std::uint32_t>(needed));
    editor.put32(0x18, static_cast<std::uint32_t>(used + grow));
  }
  put(moved, run.lcn);
  put(8, target - run.lcn);
  editor.bytes[pairs] = std::byte{0};
  editor.save();
  const Cracked cracked = crack_file(path);
  EXPECT_EQ(cracked.totals->unreadable_records, 0U);
  EXPECT_EQ(cracked.totals->files, 600U);
  EXPECT_EQ(cracked.stream_of(cracked.find("f599")->record)->stream, before.stream_of(before.find("f599")->record)->stream);
  EXPECT_EQ(cracked.stream_of(mft->record)->stream.runs, (std::vector<StreamRun>{{run.lcn, moved}, {target, 8}}));
}

TEST_F(OneVolume, RandomDamageIsAnErrorOrAProblemAndNeverACrash) {
  NtfsImage image(path);
  for (int i = 0; i < 50; ++i) image.write_file("f" + std::to_string(i), test::random_bytes(static_cast<std::uint64_t>(i), 9000));
  const Bytes content = test::random_bytes(1, 500 * 4096);
  image.write_interleaved({{"a", content}, {"b", content}}, 4096);
  image.close();
  const Cracked before = crack_file(path);
  const StreamRun mft = before.stream_of(before.streams[0].record)->stream.runs[0];
  const std::size_t mft_bytes = mft.clusters * 4096;
  const Bytes good = read_at(path, mft.lcn * 4096, mft_bytes);
  int cracked_anyway = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Bytes bad = good;
    const Bytes noise = test::random_bytes(seed, 4000);
    for (std::size_t i = 0; i + 5 <= noise.size() && i < seed * 40; i += 5) {
      const std::size_t at = (std::to_integer<std::size_t>(noise[i]) | std::to_integer<std::size_t>(noise[i + 1]) << 8 |
                              std::to_integer<std::size_t>(noise[i + 2]) << 16) % bad.size();
      // Not the fixups, which would catch most of it, and in some seeds not the system files.
      if (at % 512 < 510 && (seed % 3 == 0 || at > 24 * 1024)) bad[at] = noise[i + 3];
    }
    write_at(path, mft.lcn * 4096, bad);
    try {
      crack_file(path);
      ++cracked_anyway;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find("crashed"), std::string::npos) << seed << ": " << error.what();
      EXPECT_EQ(std::string(error.what()).find("make no sense"), std::string::npos) << seed << ": " << error.what();
    }
  }
  EXPECT_GT(cracked_anyway, 5);
}

}  // namespace
}  // namespace vmferry::crack
