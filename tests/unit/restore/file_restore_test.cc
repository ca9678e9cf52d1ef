// Files and directories out of a restore point: right, or named; and never outside of the output directory.
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <sys/stat.h>

#include "point_maker.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/support/ntfs_image.h"

namespace vmferry::restore {
namespace {

namespace fs = std::filesystem;
using limits::MiB;
constexpr std::uint64_t volume_bytes = 48 * MiB;

class FileRestoreTest : public testing::Test {
 protected:
  FileRestoreTest() : image_path_(directory_ / "volume.raw") {
    test::NtfsImage::format(image_path_, volume_bytes, {.label = "Data"});
  }

  RestorePoint point(DiskSpec spec = {}) {
    spec.image = image_path_;
    if (spec.volumes.empty()) spec.volumes = {{.range = {0, volume_bytes}}};
    return target_.add(target_.make_point({spec}));
  }
  RestoreOptions options() {
    RestoreOptions o;
    o.spool_directory = directory_.path();
    return o;
  }
  RestoreResult restore(const RestorePoint& p, const std::string& path, const RestoreOptions& o) {
    return restore_files(p, {"", path}, out(), o, target_.session(), no_events, not_cancelled);
  }
  RestoreResult restore(const RestorePoint& p, const std::string& path) { return restore(p, path, options()); }
  fs::path out() const { return directory_ / "out"; }
  Bytes cat(const RestorePoint& p, const std::string& path) {
    Bytes all;
    cat_file(p, {"", path}, options(), target_.session(),
             [&](ByteView part) { all.insert(all.end(), part.begin(), part.end()); });
    return all;
  }
  static struct stat facts_of(const fs::path& path) {
    struct stat facts {};
    EXPECT_EQ(lstat(path.c_str(), &facts), 0) << path;
    return facts;
  }
  // Everything below the test's directory but what the test itself keeps there: for "nothing got out".
  std::vector<std::string> strangers() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_.path()))
      if (entry.path() != image_path_ && entry.path() != out()) names.push_back(entry.path().filename());
    return names;
  }

  test::TemporaryDirectory directory_;
  fs::path image_path_;
  TestTarget target_;
};

TEST_F(FileRestoreTest, ATreeComesBackWithItsBytesAndTimes) {
  const Bytes big = test::random_bytes(1, 3 * MiB + 5);
  const Bytes text = test::text_bytes(2, 100'001);
  {
    test::NtfsImage image(image_path_);
    image.write_file("/Users/Ann/big.bin", big);
    image.write_file("/Users/Ann/small.txt", "hello");
    image.write_file("/Users/Ann/empty", "");
    image.write_file("/Users/Ann/\xc3\xa4\xe2\x82\xac.txt", text);
    image.make_directory("/Users/Ann/nothing in it");
    image.write_file("/elsewhere", "no");
    image.set_attributes("/Users/Ann/small.txt", test::ntfs_read_only);
    test::NtfsTimes times;
    times.modified = test::ntfs_time_from_unix(1'000'000'000) + 1'234'567;
    times.accessed = test::ntfs_time_from_unix(1'100'000'000);
    times.created = times.modified;
    image.set_times("/Users/Ann/big.bin", times);
    image.set_times("/Users/Ann", times);
  }
  const RestoreResult result = restore(point(), "users/ann");
  EXPECT_TRUE(result.warnings.empty()) << result.warnings[0].message;
  ASSERT_EQ(result.outputs, std::vector<fs::path>{out() / "Ann"});
  EXPECT_EQ(result.files, 4u);
  EXPECT_EQ(result.directories, 2u);
  const struct stat facts = facts_of(out() / "Ann" / "big.bin");  // before it is read
  EXPECT_TRUE(bytes_of(out() / "Ann" / "big.bin") == big);
  EXPECT_TRUE(bytes_of(out() / "Ann" / "\xc3\xa4\xe2\x82\xac.txt") == text);
  EXPECT_EQ(as_text(bytes_of(out() / "Ann" / "small.txt")), "hello");
  EXPECT_EQ(fs::file_size(out() / "Ann" / "empty"), 0u);
  EXPECT_TRUE(fs::is_directory(out() / "Ann" / "nothing in it"));
  EXPECT_EQ(facts_of(out() / "Ann" / "small.txt").st_mode & 0777, 0444u);
  EXPECT_EQ(facts.st_mtim.tv_sec, 1'000'000'000);
  EXPECT_EQ(facts.st_mtim.tv_nsec, 123'456'700);
  EXPECT_EQ(facts.st_atim.tv_sec, 1'100'000'000);
  EXPECT_EQ(facts_of(out() / "Ann").st_mtim.tv_sec, 1'000'000'000);
  EXPECT_FALSE(fs::exists(out() / "Ann.partial"));
}

TEST_F(FileRestoreTest, OneFileAndCatGiveTheSame) {
  const Bytes text = test::text_bytes(2, 200'000);
  {
    test::NtfsImage image(image_path_);
    image.write_file("/a/b.txt", text);
  }
  const RestorePoint p = point();
  const RestoreResult result = restore(p, "/a/B.TXT");
  EXPECT_EQ(result.outputs, std::vector<fs::path>{out() / "b.txt"});
  EXPECT_TRUE(bytes_of(out() / "b.txt") == text);
  EXPECT_TRUE(cat(p, "a/b.txt") == text);
  EXPECT_THROW(cat(p, "a"), Error);
  EXPECT_THROW(cat(p, "a/c.txt"), Error);
}

TEST_F(FileRestoreTest, TheWholeVolumeIsNamedByItsLabelAndLeavesOutWhatNtfsKeepsForItself) {
  {
    test::NtfsImage image(image_path_);
    image.write_file("/a.txt", "a");
  }
  const RestoreResult result = restore(point(), "/");
  EXPECT_EQ(result.outputs, std::vector<fs::path>{out() / "Data"});
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(out() / "Data")) names.push_back(entry.path().filename());
  EXPECT_EQ(names, std::vector<std::string>{"a.txt"});
}

TEST_F(FileRestoreTest, SparseFilesKeepTheirHolesAndCompressedOnesTheirContent) {
  const Bytes piece = test::random_bytes(5, 65536);
  const Bytes text = test::text_bytes(6, 300'000);
  {
    test::NtfsImage image(image_path_);
    image.write_sparse("/d/sparse.bin", 20 * MiB, {{8 * MiB, piece}});
    image.write_compressed("/d/compressed.txt", text);
  }
  const RestorePoint p = point();
  const RestoreResult result = restore(p, "d");
  EXPECT_TRUE(result.warnings.empty());
  Bytes expected(20 * MiB);
  std::copy(piece.begin(), piece.end(), expected.begin() + 8 * MiB);
  EXPECT_TRUE(bytes_of(out() / "d" / "sparse.bin") == expected);
  EXPECT_LT(facts_of(out() / "d" / "sparse.bin").st_blocks * 512, 1 * 1024 * 1024);
  EXPECT_TRUE(bytes_of(out() / "d" / "compressed.txt") == text);
  EXPECT_TRUE(cat(p, "d/sparse.bin") == expected);
}

TEST_F(FileRestoreTest, HardLinksBecomeHardLinksAgain) {
  {
    test::NtfsImage image(image_path_);
    image.write_file("/d/one", test::text_bytes(1, 50'000));
    image.hard_link("/d/one", "/d/e/two");
    image.hard_link("/d/one", "/outside");
  }
  const RestoreResult result = restore(point(), "d");
  EXPECT_EQ(result.files, 2u);
  EXPECT_EQ(facts_of(out() / "d" / "one").st_ino, facts_of(out() / "d" / "e" / "two").st_ino);
  EXPECT_EQ(facts_of(out() / "d" / "one").st_nlink, 2u);
}

TEST_F(FileRestoreTest, APagefileThatWasLeftOutIsNamedAndNotWrittenAsZeros) {
  std::vector<ByteRange> ranges;
  {
    test::NtfsImage image(image_path_);
    image.write_pagefile(2 * MiB, 9);
    image.write_file("/ok.txt", "ok");
    ranges = image.ranges("/pagefile.sys");
  }
  DiskSpec spec;
  for (const ByteRange& range : ranges) spec.left_out.push_back({range, MapKind::excluded});
  const RestorePoint p = point(spec);
  const RestoreResult result = restore(p, "/");
  EXPECT_TRUE(has_warning(result, "left_out"));
  EXPECT_FALSE(fs::exists(out() / "Data" / "pagefile.sys"));
  EXPECT_FALSE(fs::exists(out() / "Data" / "pagefile.sys.partial"));
  EXPECT_EQ(as_text(bytes_of(out() / "Data" / "ok.txt")), "ok");
  EXPECT_THROW(cat(p, "pagefile.sys"), Error);
}

TEST_F(FileRestoreTest, AFileBesideWhatWasLeftOutIsRestored) {
  std::vector<ByteRange> page;
  const Bytes text = test::text_bytes(3, 150'000);
  {
    test::NtfsImage image(image_path_);
    image.write_file("/before.txt", text);
    image.write_pagefile(2 * MiB, 9);
    image.write_compressed("/after.txt", text);
    page = image.ranges("/pagefile.sys");
  }
  DiskSpec spec;
  for (const ByteRange& range : page) spec.left_out.push_back({range, MapKind::excluded});
  const RestorePoint p = point(spec);
  EXPECT_TRUE(cat(p, "before.txt") == text);
  EXPECT_TRUE(cat(p, "after.txt") == text);
}

TEST_F(FileRestoreTest, AFileWhoseClustersTheMapCallsFreeIsDamageAndNeverZeros) {
  std::vector<ByteRange> ranges;
  {
    test::NtfsImage image(image_path_);
    image.write_file("/f.bin", test::random_bytes(1, MiB));
    ranges = image.ranges("/f.bin");
  }
  DiskSpec spec;
  spec.left_out = {{ranges.at(0), MapKind::free}};
  const RestorePoint p = point(spec);
  try {
    restore(p, "f.bin");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::damaged);
  }
  EXPECT_FALSE(fs::exists(out() / "f.bin"));
}

TEST_F(FileRestoreTest, LinksAndStreamsThatAreNotRestoredAreCounted) {
  {
    test::NtfsImage image(image_path_);
    image.write_file("/d/file", "content");
    image.write_stream("/d/file", "Zone.Identifier", as_bytes("[ZoneTransfer]"));
    image.make_symlink("/d/link", "C:\\elsewhere");
    image.make_junction("/d/junction", "C:\\Users");
  }
  RestoreResult result = restore(point(), "d");
  EXPECT_TRUE(has_warning(result, "reparse_points"));
  EXPECT_FALSE(has_warning(result, "named_streams"));
  EXPECT_TRUE(std::any_of(result.notes.begin(), result.notes.end(),
                          [](const std::string& note) { return note.find("Zone.Identifier") != std::string::npos; }));
  EXPECT_FALSE(fs::exists(fs::symlink_status(out() / "d" / "link")));
  EXPECT_FALSE(fs::exists(fs::symlink_status(out() / "d" / "junction")));
  EXPECT_EQ(as_text(bytes_of(out() / "d" / "file")), "content");
  {
    test::NtfsImage image(image_path_);
    image.write_stream("/d/file", "notes", as_bytes("data that nobody sees"));
  }
  auto o = options();
  o.force = true;
  EXPECT_TRUE(has_warning(restore(point(), "d", o), "named_streams"));
}

TEST_F(FileRestoreTest, FilesWhoseContentIsElsewhereAreNamedAndNotWritten) {
  {
    test::NtfsImage image(image_path_);
    image.write_file("/d/deduplicated", test::text_bytes(1, 10'000));
    image.set_reparse_point("/d/deduplicated", 0x80000013, as_bytes(std::string(64, 'x')));
    image.write_file("/d/file", "content");
  }
  const RestoreResult result = restore(point(), "d");
  EXPECT_TRUE(has_warning(result, "unreadable"));
  EXPECT_FALSE(fs::exists(out() / "d" / "deduplicated"));
  EXPECT_TRUE(fs::exists(out() / "d" / "file"));
}

TEST_F(FileRestoreTest, NothingIsOverwrittenWithoutForceAndForceMerges) {
  {
    test::NtfsImage image(image_path_);
    image.write_file("/d/file", "new");
    image.write_file("/d/sub/other", "new too");
  }
  const RestorePoint p = point();
  fs::create_directories(out() / "d");
  std::ofstream(out() / "d" / "file") << "mine";
  std::ofstream(out() / "d" / "kept") << "kept";
  try {
    restore(p, "d");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::exists);
  }
  EXPECT_EQ(as_text(bytes_of(out() / "d" / "file")), "mine");
  auto o = options();
  o.force = true;
  restore(p, "d", o);
  EXPECT_EQ(as_text(bytes_of(out() / "d" / "file")), "new");
  EXPECT_EQ(as_text(bytes_of(out() / "d" / "sub" / "other")), "new too");
  EXPECT_EQ(as_text(bytes_of(out() / "d" / "kept")), "kept");
}

TEST_F(FileRestoreTest, ALinkThatLiesInTheOutputIsNotFollowed) {
  {
    test::NtfsImage image(image_path_);
    image.write_file("/d/sub/file", "evil");
    image.write_file("/d/target", "replaced");
  }
  const RestorePoint p = point();
  fs::create_directories(out() / "d");
  fs::create_directories(directory_ / "precious");
  std::ofstream(directory_ / "precious" / "mine") << "mine";
  fs::create_directory_symlink(directory_ / "precious", out() / "d" / "sub");
  fs::create_symlink(directory_ / "precious" / "mine", out() / "d" / "target");
  auto o = options();
  o.force = true;
  EXPECT_THROW(restore(p, "d", o), Error);
  EXPECT_FALSE(fs::exists(directory_ / "precious" / "file"));
  EXPECT_EQ(as_text(bytes_of(directory_ / "precious" / "mine")), "mine");
}

std::u16string wide(std::string_view text) { return {text.begin(), text.end()}; }

TEST_F(FileRestoreTest, HostileNamesNeverLeaveTheOutputDirectory) {
  {
    test::NtfsImage image(image_path_);
    for (int i = 0; i < 12; ++i) image.write_file("/d/file" + std::to_string(i), "evil" + std::to_string(i));
    image.write_file("/d/dir0/below", "evil");
    image.write_file("/d/dir1/below", "evil");
  }
  const std::vector<std::u16string> names = {u"a/../../b",
                                             u".",
                                             u"../escaped",
                                             u"/escaped",
                                             u"a/b",
                                             std::u16string(u"nul\0led", 7),
                                             u"line\nbreak",
                                             u"\x1b[2J",
                                             std::u16string(255, u'\x20ac'),
                                             std::u16string(u"half\xd800", 5)};
  DiskSpec spec;
  spec.volumes = {{.range = {0, volume_bytes}, .change = [&](std::vector<NameEntry>& found, std::vector<RecordEntry>&) {
                     for (NameEntry& entry : found) {
                       for (std::size_t i = 0; i < names.size(); ++i)
                         if (entry.name == wide("file" + std::to_string(i))) entry.name = names[i];
                       if (entry.name == u"dir0") entry.name = u"..";
                       if (entry.name == u"dir1") entry.name = u"../../escaped";
                     }
                   }}};
  const RestorePoint p = point(spec);
  const RestoreResult result = restore(p, "d");
  EXPECT_EQ(strangers(), (std::vector<std::string>{}));
  std::size_t refused = 0;
  for (const Warning& warning : result.warnings) {
    refused += warning.code == "bad_name";
    EXPECT_EQ(warning.object.find_first_of("\n\x1b"), std::string::npos);
  }
  EXPECT_EQ(refused, names.size() - 1 + 2);  // half a surrogate is no beauty, but a name
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(out())) files += entry.is_regular_file();
  EXPECT_EQ(files, 3u);
  EXPECT_EQ(as_text(bytes_of(out() / "d" / "file11")), "evil11");
  EXPECT_EQ(as_text(bytes_of(out() / "d" / "half\xed\xa0\x80")), "evil9");
}

TEST_F(FileRestoreTest, AHostileLabelIsNoPath) {
  {
    test::NtfsImage image(image_path_);
    image.write_file("/a", "a");
  }
  DiskSpec spec;
  spec.volumes = {{.range = {0, volume_bytes}, .label = "../../etc"}};
  const RestoreResult result = restore(point(spec), "/");
  EXPECT_EQ(result.outputs, std::vector<fs::path>{out() / "0.1"});
}

TEST_F(FileRestoreTest, DirectoriesThatContainThemselvesEnd) {
  {
    test::NtfsImage image(image_path_);
    image.write_file("/d/e/file", "x");
  }
  DiskSpec spec;
  spec.volumes = {{.range = {0, volume_bytes}, .change = [&](std::vector<NameEntry>& found, std::vector<RecordEntry>&) {
                     std::map<std::u16string, NameEntry> by_name;
                     for (const NameEntry& entry : found) by_name[entry.name] = entry;
                     NameEntry loop = by_name.at(u"d");  // d again, inside d/e; and the root inside d
                     loop.parent = by_name.at(u"e").record;
                     loop.name = u"loop";
                     found.push_back(loop);
                     NameEntry root = by_name.at(u"d");
                     root.record = root.parent;
                     root.parent = by_name.at(u"d").record;
                     root.name = u"root";
                     found.push_back(root);
                   }}};
  const RestorePoint p = point(spec);
  const RestoreResult result = restore(p, "d");
  EXPECT_TRUE(has_warning(result, "directory_loop"));
  EXPECT_EQ(result.files, 1u);
  std::size_t rows = 0;
  list_files(p, {"", "d"}, true, target_.session(), [&](const ListRow&) { ++rows; });
  EXPECT_EQ(rows, 4u);
}

TEST_F(FileRestoreTest, ARecordThatIsAnotherFileNowStopsUnlessKeepGoing) {
  {
    test::NtfsImage image(image_path_);
    image.write_file("/d/a", "a");
    image.write_file("/d/b", "b");
  }
  DiskSpec spec;
  spec.volumes = {{.range = {0, volume_bytes}, .change = [&](std::vector<NameEntry>& found, std::vector<RecordEntry>&) {
                     for (NameEntry& entry : found)
                       if (entry.name == u"a") entry.record += std::uint64_t{7} << 48;
                   }}};
  const RestorePoint p = point(spec);
  EXPECT_THROW(restore(p, "d"), Error);
  EXPECT_FALSE(fs::exists(out() / "d"));
  EXPECT_TRUE(fs::exists(out() / "d.partial"));
  fs::remove_all(out());
  auto o = options();
  o.keep_going = true;
  const RestoreResult result = restore(p, "d", o);
  EXPECT_TRUE(has_warning(result, "failed"));
  EXPECT_FALSE(fs::exists(out() / "d" / "a"));
  EXPECT_EQ(as_text(bytes_of(out() / "d" / "b")), "b");
}

TEST_F(FileRestoreTest, ADamagedChunkCostsItsFileOnly) {
  std::uint64_t at = 0;
  const Bytes good = test::random_bytes(2, 2 * MiB);
  {
    test::NtfsImage image(image_path_);
    image.write_file("/d/bad", test::random_bytes(1, MiB));
    image.write_file("/d/good", good);
    at = image.ranges("/d/bad").at(0).offset + 500'000;
  }
  DiskSpec spec;
  spec.missing_chunks_at = {at};
  const RestorePoint p = point(spec);
  try {
    restore(p, "d");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::damaged);
  }
  fs::remove_all(out());
  auto o = options();
  o.keep_going = true;
  const RestoreResult result = restore(p, "d", o);
  EXPECT_TRUE(result.damaged);
  EXPECT_TRUE(has_warning(result, "failed"));
  EXPECT_FALSE(fs::exists(out() / "d" / "bad"));
  EXPECT_TRUE(fs::exists(out() / "d" / "bad.partial"));
  EXPECT_TRUE(bytes_of(out() / "d" / "good") == good);
}

TEST_F(FileRestoreTest, ManyFilesWithLittleMemoryAreAllRight) {
  {
    test::NtfsImage image(image_path_);
    for (int i = 0; i < 300; ++i)
      image.write_file("/d/" + std::to_string(i % 7) + "/file" + std::to_string(i),
                       test::text_bytes(static_cast<unsigned>(i), 20'000));
    image.write_file("/d/large", test::random_bytes(1000, 8 * MiB));
  }
  const RestorePoint p = point();
  auto o = options();
  o.memory_bytes = 4 * MiB;
  const RestoreResult result = restore(p, "d", o);
  EXPECT_EQ(result.files, 301u);
  for (int i = 0; i < 300; ++i)
    EXPECT_TRUE(bytes_of(out() / "d" / std::to_string(i % 7) / ("file" + std::to_string(i))) ==
                test::text_bytes(static_cast<unsigned>(i), 20'000));
  EXPECT_TRUE(bytes_of(out() / "d" / "large") == test::random_bytes(1000, 8 * MiB));
}

TEST_F(FileRestoreTest, OneSmallFileBringsLittleOfTheVolume) {
  {
    test::NtfsImage image(image_path_);
    for (int i = 0; i < 400; ++i)
      image.write_file("/d/" + std::to_string(i % 7) + "/file" + std::to_string(i),
                       test::random_bytes(static_cast<unsigned>(i), 60'000));
  }
  const RestoreResult result = restore(point(), "d/3/file45");
  EXPECT_TRUE(bytes_of(out() / "file45") == test::random_bytes(45, 60'000));
  EXPECT_LT(result.received_bytes, 4 * MiB);
}

TEST_F(FileRestoreTest, ListsNamesWithoutShortOnesAndMetadata) {
  {
    test::NtfsImage image(image_path_);
    image.write_file("/Program Files/a long name.txt", "x");
    image.set_short_name("/Program Files/a long name.txt", "ALONGN~1.TXT");
    image.write_file("/b", "x");
  }
  const RestorePoint p = point();
  std::vector<std::string> rows;
  const auto visit = [&](const ListRow& row) { rows.push_back(row.path); };
  list_files(p, {"", ""}, true, target_.session(), visit);
  EXPECT_EQ(rows, (std::vector<std::string>{"b", "Program Files", "Program Files/a long name.txt"}));
  rows.clear();
  list_files(p, {"data", "PROGRAM FILES"}, false, target_.session(), visit);
  EXPECT_EQ(rows, std::vector<std::string>{"PROGRAM FILES/a long name.txt"});
  EXPECT_THROW(list_files(p, {"other", ""}, false, target_.session(), visit), Error);
}

}  // namespace
}  // namespace vmferry::restore
