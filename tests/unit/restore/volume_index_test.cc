// Directories are listed many at a time: what comes is theirs alone, and costs as many round trips as the tree has levels.
#include <gtest/gtest.h>

#include <map>

#include "engine/restore/directory_walk.h"
#include "engine/restore/volume_index.h"
#include "tests/support/memory_chunks.h"

namespace vmferry::restore {
namespace {

constexpr MftReference reference(std::uint64_t number, std::uint64_t sequence) { return sequence << 48 | number; }
constexpr MftReference root = reference(5, 5);

class VolumeIndexTest : public testing::Test {
 protected:
  void add(MftReference parent, MftReference record, std::u16string name, bool is_directory = false) {
    NameEntry entry;
    entry.parent = parent;
    entry.record = record;
    entry.name = std::move(name);
    entry.is_directory = is_directory;
    entries_[name_key(parent, upcase_simple(entry.name), entry.name)] = encode_name(entry);
  }
  VolumeIndex& index() {
    TreeBuilder tree(key_, chunks_.emit());
    for (const auto& [key, value] : entries_) tree.add(key, value);
    volume_.cracked = true;
    volume_.file_index = tree.finish();
    chunks_.calls = 0;
    return index_.emplace(VolumeRow{"0.1", &disk_, &volume_}, chunks_, 1 << 20);
  }

  const DomainKey key_ = DomainKey::random();
  std::map<Bytes, Bytes> entries_;
  test::MemoryChunks chunks_;
  PointDisk disk_;
  PointVolume volume_;
  std::optional<VolumeIndex> index_;
};

TEST_F(VolumeIndexTest, ListsDirectoriesAndOnlyThem) {
  add(root, root, u".", true);
  add(root, reference(40, 1), u"b", true);
  add(root, reference(41, 1), u"A");
  add(reference(40, 1), reference(42, 1), u"c");
  add(reference(40, 1), reference(45, 1), u"\uffff\uffff");
  add(reference(5, 6), reference(43, 1), u"stale");  // the same record, another sequence
  add(reference(41, 1), reference(44, 1), u"between");
  std::vector<std::u16string> names;
  index().list(std::vector{reference(40, 1), root}, [&](const NameEntry& entry) { names.push_back(entry.name); });
  EXPECT_EQ(names, (std::vector<std::u16string>{u"A", u"b", u"c", u"\uffff\uffff"}));
}

TEST_F(VolumeIndexTest, AWalkCostsAsManyRoundTripsAsItIsDeep) {
  add(root, root, u".", true);
  std::uint64_t next = 100;
  for (int i = 0; i < 400; ++i) {
    const MftReference directory = reference(next++, 1);
    add(root, directory, u"directory " + std::u16string(1, static_cast<char16_t>(u'a' + i)), true);
    for (int j = 0; j < 25; ++j) add(directory, reference(next++, 1), u"file " + std::u16string(1, static_cast<char16_t>(u'a' + j)));
  }
  VolumeIndex& walked = index();
  ASSERT_GE(volume_.file_index.levels, 3u);
  std::size_t files = 0, directories = 0;
  DirectoryVisitor visitor;
  visitor.visit = [&](const std::string& place, const NameEntry& entry) -> std::optional<std::string> {
    if (entry.is_directory) return ++directories, "below";
    EXPECT_EQ(place, "below");
    ++files;
    return std::nullopt;
  };
  visitor.refused = [](const std::string&, const NameEntry&, DirectoryVisitor::Refusal) { FAIL(); };
  walk_directory(walked, root, "", true, visitor);
  EXPECT_EQ(directories, 400u);
  EXPECT_EQ(files, 10'000u);
  EXPECT_LE(chunks_.calls, 2u * volume_.file_index.levels);
}

}  // namespace
}  // namespace vmferry::restore
