// name_traffic: every stream of a real disk gets the name that libntfs-3g would give it; what a hostile guest writes
// into its directories stays bounded.
#include "engine/backup/traffic_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include "engine/backup/file_paths.h"
#include "engine/backup/source.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/support/disk_image.h"
#include "tests/support/ntfs_image.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::backup {
namespace {

using limits::MiB;

std::string suffix_of(const test::NtfsStream& stream) {
  const std::string name = stream.name == "$I30" ? "" : stream.name;
  if (stream.type == 0x80) return name.empty() ? "" : ":" + name;
  const std::map<std::uint32_t, std::string> known{{0xa0, "index"}, {0xb0, "bitmap"}, {0x20, "attribute list"},
                                                   {0x50, "security"}, {0x100, "logged stream"}};
  const auto found = known.find(stream.type);
  return found == known.end() ? " ?" : " [" + found->second + (name.empty() ? "" : " " + name) + "]";
}

TEST(TrafficReportTest, EveryStreamOfARealDiskHasItsPath) {
  const test::TemporaryDirectory directory;
  const std::filesystem::path disk = directory.path() / "disk.raw";
  const test::DiskImage image = test::make_disk(
      disk, 96 * MiB, test::PartitionTable::gpt,
      {{.name = "EFI", .bytes = 8 * MiB}, {.name = "Data", .ntfs = test::NtfsFormat{.label = "Data"}}});
  const Bytes foreign = test::random_bytes(9, 100'000);
  std::fstream(disk, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(static_cast<std::streamoff>(image.partitions[0].offset))
      .write(reinterpret_cast<const char*>(foreign.data()), static_cast<std::streamsize>(foreign.size()));
  test::NtfsImage ntfs(disk, image.partitions[1]);
  for (std::uint64_t i = 0; i < 300; ++i)
    ntfs.write_file("/Users/ann/letters/a long name, number " + std::to_string(i), test::text_bytes(i, 9000));
  ntfs.write_file("/Users/ann/\xc3\xa4\xc3\xb6\xe2\x82\xac.db", test::random_bytes(1, MiB));
  ntfs.write_stream("/Users/ann/\xc3\xa4\xc3\xb6\xe2\x82\xac.db", "zone", test::random_bytes(2, 10'000));
  ntfs.close();

  const Source source = Source::open(disk, {});
  LayoutOptions options;
  options.spool_directory = directory.path();
  std::vector<std::unique_ptr<DiskLayout>> layouts;
  layouts.push_back(DiskLayout::build(*source.disks()[0].disk, options, "disk0"));
  TrafficLedger ledger;
  const auto walker = layouts[0]->streams();
  std::uint64_t bytes = 0;
  while (const auto stream = walker->next_stream()) {
    const AccountNumber account = ledger.open(0, *stream);
    ledger.read(account, stream->bytes);
    ledger.sent(std::array{TrafficLedger::Sent{account, 0, stream->bytes, stream->bytes / 2}});
    bytes += stream->bytes;
  }
  const std::vector<std::string> keys{"disk0"};
  const catalog::PointTraffic traffic = name_traffic(ledger, layouts, keys);

  std::multiset<std::string> files, rest;
  std::uint64_t read = 0;
  for (const catalog::TrafficRow& row : traffic.rows) {
    (row.kind == catalog::TrafficKind::rest ? rest : files).insert(row.path);
    EXPECT_EQ(row.volume, row.path == "[partition tables and gaps]" ? 0U : row.path[1] == 'v' ? 1U : 2U) << row.path;
    EXPECT_EQ(row.kind == catalog::TrafficKind::stream,
              row.path.back() == ']' ? row.path[0] == '/' : row.path.find(':') != std::string::npos)
        << row.path;
    read += row.bytes.read;
  }
  EXPECT_EQ(read, bytes);
  EXPECT_EQ(traffic.point.streams.read, bytes);

  std::multiset<std::string> expected;
  const test::NtfsImage judge(disk, image.partitions[1], test::NtfsAccess::read_only);
  for (const test::NtfsStream& stream : judge.all_streams())
    if (!stream.ranges.empty()) expected.insert((stream.path.empty() ? "[file]" : stream.path) + suffix_of(stream));
  EXPECT_EQ(files, expected);
  EXPECT_THAT(
      files, testing::IsSupersetOf({"/$MFT", "/Users/ann/letters [index]", "/Users/ann/\xc3\xa4\xc3\xb6\xe2\x82\xac.db",
                                    "/Users/ann/\xc3\xa4\xc3\xb6\xe2\x82\xac.db:zone"}));
  EXPECT_THAT(rest, testing::IsSupersetOf({"[volume 1, not cracked]", "[partition tables and gaps]"}));

  // Few rows: the largest stay, the sum too.
  NamingLimits few;
  few.rows_max = 10;
  const catalog::PointTraffic short_list = name_traffic(ledger, layouts, keys, few);
  ASSERT_EQ(short_list.rows.size(), 10U);
  EXPECT_EQ(short_list.rows.back().path, "[smaller ones]");
  read = 0;
  for (const catalog::TrafficRow& row : short_list.rows) read += row.bytes.read;
  EXPECT_EQ(read, bytes);
}

TEST(TrafficReportTest, WhatIsOfNoDiskIsTheMachinesOwnFiles) {
  TrafficLedger ledger;
  StreamInfo stream;
  stream.kind = StreamKind::outside;
  const AccountNumber account = ledger.open(0, stream);
  ledger.read(account, 100);
  ledger.read(ledger.open(7, StreamInfo{}), 10);
  const catalog::PointTraffic traffic = name_traffic(ledger, {}, {});
  ASSERT_EQ(traffic.rows.size(), 2U);
  EXPECT_EQ(traffic.rows[0].path, "[the machine's files]");
  EXPECT_EQ(traffic.rows[1].path, "[the machine's files]");
  EXPECT_EQ(traffic.rows[0].disk, "");
}

// A volume whose file index says what a test wants.
class WrittenIndex final : public DiskLayout {
 public:
  void add(MftReference parent, MftReference record, std::u16string name, bool is_directory = false,
           bool is_short = false) {
    NameEntry entry;
    entry.parent = parent;
    entry.record = record;
    entry.name = std::move(name);
    entry.is_directory = is_directory;
    entry.is_short_name = is_short;
    entries_[name_key(parent, upcase_simple(entry.name), entry.name)] = encode_name(entry);
  }
  void file_index(std::uint32_t, const std::function<void(ByteView, ByteView)>& visit) override {
    for (const auto& [name, value] : entries_) visit(name, value);
  }
  const disk::PartitionTable& table() const noexcept override { return table_; }
  const std::vector<LayoutVolume>& volumes() const noexcept override { return volumes_; }
  const KindBytes& bytes() const noexcept override { return bytes_; }
  const std::vector<Warning>& warnings() const noexcept override { return warnings_; }
  const std::vector<std::string>& notes() const noexcept override { return notes_; }
  bool hibernated() const noexcept override { return false; }
  std::unique_ptr<StreamWalker> streams() override { return nullptr; }
  void skipped(const std::function<void(const ByteRange&, MapKind)>&) override {}

 private:
  std::map<Bytes, Bytes> entries_;
  disk::PartitionTable table_;
  std::vector<LayoutVolume> volumes_;
  KindBytes bytes_;
  std::vector<Warning> warnings_;
  std::vector<std::string> notes_;
};

constexpr MftReference ref(std::uint64_t record, std::uint64_t sequence = 1) { return sequence << 48 | record; }

std::string path_in(WrittenIndex& index, MftReference record, std::size_t bytes_max = 1 << 20) {
  FilePaths paths(bytes_max);
  paths.want(record);
  paths.look(index, 0);
  return paths.path(record);
}

TEST(FilePathsTest, LongNamesWinAndTheFirstLinkIsTaken) {
  WrittenIndex index;
  index.add(ref(5, 5), ref(5, 5), u".", true);
  index.add(ref(5, 5), ref(40), u"Program Files", true);
  index.add(ref(5, 5), ref(40), u"PROGRA~1", true, true);
  index.add(ref(40), ref(50), u"A0~1.TXT", false, true);
  index.add(ref(40), ref(50), u"zz a long one.txt");
  index.add(ref(41), ref(50), u"its second link.txt");
  index.add(ref(40), ref(51), u"../../etc/passwd");
  EXPECT_EQ(path_in(index, ref(50)), "/Program Files/zz a long one.txt");
  EXPECT_EQ(path_in(index, ref(40)), "/Program Files");
  EXPECT_EQ(path_in(index, ref(51)), "/Program Files/..\\x2f..\\x2fetc\\x2fpasswd");
  EXPECT_EQ(path_in(index, ref(5, 5)), "/");
  EXPECT_EQ(path_in(index, ref(77)), "[file 77]");
}

TEST(FilePathsTest, LoopsOrphansAndStaleReferencesAreLost) {
  WrittenIndex index;
  index.add(ref(41), ref(40), u"a", true);
  index.add(ref(40), ref(41), u"b", true);
  index.add(ref(41), ref(50), u"in a loop");
  index.add(ref(99), ref(51), u"orphan");
  index.add(ref(42), ref(42), u"itself", true);
  index.add(ref(42), ref(52), u"x");
  index.add(ref(5, 5), ref(43), u"again", true);
  index.add(ref(43, 7), ref(53), u"of a former directory");
  EXPECT_TRUE(path_in(index, ref(50)).starts_with("[lost]/"));
  EXPECT_TRUE(path_in(index, ref(50)).ends_with("/b/in a loop"));
  EXPECT_LT(path_in(index, ref(50)).size(), 2000U);
  EXPECT_EQ(path_in(index, ref(51)), "[lost]/orphan");
  EXPECT_TRUE(path_in(index, ref(52)).starts_with("[lost]/"));
  EXPECT_EQ(path_in(index, ref(53)), "[lost]/of a former directory");
}

TEST(FilePathsTest, VeryDeepOrLongPathsAreShortenedAndMemoryIsBounded) {
  WrittenIndex index;
  index.add(ref(5, 5), ref(100), std::u16string(250, u'd'), true);
  for (std::uint64_t i = 101; i < 300; ++i) index.add(ref(i - 1), ref(i), std::u16string(250, u'd'), true);
  index.add(ref(299), ref(50), u"deep");
  const std::string path = path_in(index, ref(50));
  EXPECT_TRUE(path.starts_with("/[...]/d")) << path;
  EXPECT_TRUE(path.ends_with("d/deep"));
  EXPECT_LT(path.size(), 1500U);
  index.add(ref(5, 5), ref(51), u"near");
  EXPECT_EQ(path_in(index, ref(50), 4000), "[file 50]");
  EXPECT_EQ(path_in(index, ref(51), 4000), "/near");
}

}  // namespace
}  // namespace vmferry::backup
