#include "protocol/file_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/memory_chunks.h"

extern "C" void ntfs_upcase_table_build(std::uint16_t* table, std::uint32_t bytes);

namespace vmferry {
namespace {

constexpr MftReference reference(std::uint64_t number, std::uint64_t sequence) { return sequence << 48 | number; }
constexpr MftReference root = reference(5, 5);

class FileIndex : public ::testing::Test {
 protected:
  void add(const NameEntry& entry) {
    entries[name_key(entry.parent, upcase_simple(entry.name), entry.name)] = encode_name(entry);
  }
  void add(const RecordEntry& whole) {
    for (const RecordEntry& part : split_record(whole))
      entries[record_key(part.record, part.part)] = encode_record(part);
  }
  NameEntry name(MftReference parent, MftReference record, std::u16string text, bool is_directory = false) {
    NameEntry entry;
    entry.parent = parent;
    entry.record = record;
    entry.name = std::move(text);
    entry.is_directory = is_directory;
    entry.times = {133000000000000000, 133000000000000001, 0, ~std::uint64_t{0}};
    return entry;
  }
  FileIndexReader reader() {
    TreeBuilder builder(DomainKey{}, chunks.emit());
    for (const auto& [k, v] : entries) builder.add(k, v);
    return FileIndexReader(builder.finish(), chunks);
  }
  std::map<Bytes, Bytes> entries;
  test::MemoryChunks chunks;
};

TEST_F(FileIndex, NamesComeBackWhole) {
  NameEntry entry = name(reference(0xffffffffffff, 0xffff), reference(0x123456789abc, 0xdef0),
                         std::u16string(255, u'\xd800'));
  entry.is_short_name = true;
  entry.attributes = 0xffffffff;
  entry.reparse_tag = 0xa000000c;
  entry.data_bytes = ~std::uint64_t{0};
  const Bytes k = name_key(entry.parent, entry.name, entry.name);
  EXPECT_LE(k.size(), limits::tree_key_max);
  EXPECT_EQ(decode_name(k, encode_name(entry)), entry);
  for (std::size_t length = 0; length < k.size(); ++length)
    if (length < 15 || length % 4 != k.size() % 4) {
      EXPECT_THROW(decode_name(ByteView(k).first(length), encode_name(entry)), Error) << length;
    }
}

TEST_F(FileIndex, FindsByNameWhateverTheCaseAndPrefersTheExactOne) {
  add(name(root, reference(30, 1), u"Straße.TXT"));
  add(name(root, reference(31, 1), u"readme"));
  add(name(root, reference(32, 1), u"README"));
  add(name(root, reference(33, 1), u"readme.md"));
  FileIndexReader index = reader();
  EXPECT_EQ(index.find(root, u"STRAßE.txt")->record, reference(30, 1));
  EXPECT_EQ(index.find(root, u"readme")->record, reference(31, 1));
  EXPECT_EQ(index.find(root, u"README")->record, reference(32, 1));
  EXPECT_TRUE(index.find(root, u"ReadMe"));
  EXPECT_FALSE(index.find(root, u"readm"));
  EXPECT_FALSE(index.find(root, u""));
  EXPECT_FALSE(index.find(reference(6, 1), u"readme"));
}

TEST_F(FileIndex, WalksPathsFromTheRoot) {
  const MftReference odd_root = reference(5, 7);
  add(name(odd_root, odd_root, u".", true));
  add(name(odd_root, reference(40, 2), u"Users", true));
  add(name(reference(40, 2), reference(41, 3), u"Zoë", true));
  add(name(reference(41, 3), reference(42, 4), u"notes.txt"));
  FileIndexReader index = reader();
  EXPECT_EQ(index.find_path("")->record, odd_root);
  EXPECT_EQ(index.find_path("/")->record, odd_root);
  EXPECT_EQ(index.find_path("users\\ZOË/notes.TXT")->record, reference(42, 4));
  EXPECT_EQ(index.find_path("/Users//Zoë/")->record, reference(41, 3));
  EXPECT_FALSE(index.find_path("Users/Zoë/notes.txt/more"));
  EXPECT_FALSE(index.find_path("Users/nobody"));
  EXPECT_FALSE(index.find_path("./Users"));
  EXPECT_FALSE(index.find_path("\xff"));
}

TEST_F(FileIndex, AnEmptyVolumeHasARoot) {
  FileIndexReader index = reader();
  ASSERT_TRUE(index.find_path(""));
  EXPECT_EQ(index.find_path("")->record, root);
  EXPECT_TRUE(index.find_path("")->is_directory);
  EXPECT_FALSE(index.find_path("x"));
}

RecordEntry fragmented(std::uint64_t number, std::size_t runs_per_stream, std::size_t streams,
                       std::mt19937_64& random) {
  RecordEntry record;
  record.record = reference(number, 9);
  record.links = 2;
  for (std::size_t i = 0; i < streams; ++i) {
    StreamEntry stream;
    stream.attribute_type = 0x80;
    stream.name = std::u16string(i, u'n');
    stream.flags = 0x8001;
    stream.data_bytes = random();
    stream.initialized_bytes = random();
    for (std::size_t run = 0; run < runs_per_stream; ++run)
      stream.runs.push_back({random() % 3 == 0 ? StreamRun::run_hole : random() >> 20, 1 + (random() >> 30)});
    record.streams.push_back(std::move(stream));
  }
  return record;
}

TEST_F(FileIndex, RecordsComeBackWholeHoweverFragmented) {
  std::mt19937_64 random(3);
  std::map<std::uint64_t, RecordEntry> records;
  std::uint64_t number = 100;
  for (const std::size_t runs : {0U, 1U, 1000U, 10000U})
    for (const std::size_t streams : {1U, 3U, 200U}) {
      if (runs * streams > 40000) continue;
      records[number] = fragmented(number, runs, streams, random);
      add(records[number]);
      ++number;
    }
  // Two streams that only look like one, at the border of two parts.
  RecordEntry twins = fragmented(number, 3000, 2, random);
  twins.streams[1].name.clear();
  records[number] = twins;
  add(twins);
  for (const auto& [k, v] : entries) EXPECT_LE(v.size(), limits::tree_value_max);
  FileIndexReader index = reader();
  for (const auto& [n, record] : records) EXPECT_EQ(index.record(record.record), record) << n;
  EXPECT_FALSE(index.record(reference(99, 1)));
}

TEST_F(FileIndex, AMissingPartIsNoticed) {
  std::mt19937_64 random(4);
  const RecordEntry record = fragmented(7, 20000, 1, random);
  add(record);
  ASSERT_GT(split_record(record).size(), 3U);
  entries.erase(record_key(7, 2));
  FileIndexReader index = reader();
  EXPECT_THROW(index.record(7), Error);
}

TEST_F(FileIndex, CodecRefusesEveryTruncation) {
  std::mt19937_64 random(5);
  const RecordEntry record = fragmented(7, 5, 3, random);
  const Bytes value = encode_record(record);
  EXPECT_EQ(decode_record(record_key(7), value), record);
  for (std::size_t length = 0; length < value.size(); ++length)
    EXPECT_THROW(decode_record(record_key(7), ByteView(value).first(length)), Error);
  const NameEntry entry = name(root, 6, u"x");
  const Bytes name_value = encode_name(entry);
  for (std::size_t length = 0; length < name_value.size(); ++length)
    EXPECT_THROW(decode_name(name_key(root, u"X", u"x"), ByteView(name_value).first(length)), Error);
}

TEST_F(FileIndex, CodecRefusesRunsThatOverflow) {
  for (const std::uint64_t clusters : {std::uint64_t{0}, ~std::uint64_t{0} >> 1}) {
    ByteWriter value;
    for (const int field : {0, 0, 1, 1, 0x80, 0, 0, 0, 0, 0, 1}) value.varint(static_cast<std::uint64_t>(field));
    value.varint(clusters << 1);
    value.varint(0);
    EXPECT_THROW(decode_record(record_key(7), value.view()), Error);
  }
}

TEST(Upcase, IsWhatLibntfs3gTakesForWindows) {
  std::vector<std::uint16_t> judge(65536);
  ntfs_upcase_table_build(judge.data(), static_cast<std::uint32_t>(judge.size() * 2));
  for (std::uint32_t unit = 0; unit < 65536; ++unit)
    EXPECT_EQ(upcase_simple(std::u16string(1, static_cast<char16_t>(unit)))[0], judge[unit]) << std::hex << unit;
}

TEST(Utf, EveryNameOfNtfsSurvivesTheRoundTrip) {
  for (std::uint32_t unit = 0; unit < 65536; ++unit) {
    const std::u16string name = {u'a', static_cast<char16_t>(unit), u'b'};
    EXPECT_EQ(to_utf16(to_utf8(name)), name);
  }
  std::mt19937 random(6);
  for (int i = 0; i < 10000; ++i) {
    std::u16string name(random() % 8, u'\0');
    for (char16_t& unit : name) unit = static_cast<char16_t>(0xd7fe + random() % 0x804);  // surrogates, mostly
    EXPECT_EQ(to_utf16(to_utf8(name)), name);
  }
  EXPECT_EQ(to_utf8(u"\xd83d\xde00"), "\xf0\x9f\x98\x80");
}

TEST(Utf, BrokenSequencesAreNoNames) {
  for (const char* text : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe2\x82", "\xf0\x80\x80\x80",
                           "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "\xed\xa0\xbd\xed\xb8\x80"})
    EXPECT_FALSE(to_utf16(text)) << text;
}

}  // namespace
}  // namespace vmferry
