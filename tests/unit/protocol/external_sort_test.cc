#include "protocol/external_sort.h"

#include <gtest/gtest.h>

#include <random>

namespace vmferry {
namespace {

struct Record {
  std::uint32_t key;
  std::uint32_t order;  // of arrival
};
struct ByKey {
  bool operator()(const Record& a, const Record& b) const { return a.key < b.key; }
};

TEST(ExternalSort, IsAStableSortWhateverTheBudget) {
  std::mt19937 random(7);
  for (const std::size_t count : {0U, 1U, 1023U, 1024U, 1025U, 2048U, 50000U}) {
    std::vector<Record> expected;
    ExternalSorter<Record, ByKey> sorter(::testing::TempDir(), 1);  // the least: 1024 records
    for (std::uint32_t i = 0; i < count; ++i) {
      const Record record{static_cast<std::uint32_t>(random() % (count / 4 + 1)), i};
      expected.push_back(record);
      sorter.add(record);
    }
    EXPECT_EQ(sorter.count(), count);
    std::stable_sort(expected.begin(), expected.end(), ByKey{});
    for (int pass = 0; pass < 2; ++pass) {
      sorter.rewind();
      for (const Record& record : expected) {
        const std::optional<Record> got = sorter.next();
        ASSERT_TRUE(got);
        ASSERT_EQ(got->key, record.key);
        ASSERT_EQ(got->order, record.order) << count;
      }
      EXPECT_FALSE(sorter.next());
    }
  }
}

TEST(TemporaryFile, GivesBackWhatWasAppended) {
  TemporaryFile file(::testing::TempDir());
  file.append("hello ", 6);
  file.append("world", 5);
  EXPECT_EQ(file.size(), 11U);
  char text[5];
  file.read(6, text, sizeof text);
  EXPECT_EQ(std::string(text, sizeof text), "world");
  EXPECT_THROW(file.read(7, text, sizeof text), Error);
}

TEST(TemporaryFile, LeavesNoNameBehind) {
  const std::filesystem::path directory = std::filesystem::path(::testing::TempDir()) / "vmferry_nameless";
  std::filesystem::create_directory(directory);
  TemporaryFile file(directory);
  file.append("x", 1);
  TemporaryFile moved = std::move(file);
  EXPECT_TRUE(std::filesystem::is_empty(directory));
  char text;
  moved.read(0, &text, 1);
  EXPECT_EQ(text, 'x');
  std::filesystem::remove(directory);
}

TEST(TemporaryFile, SaysWhichDirectoryIsMissing) {
  try {
    TemporaryFile file("/nonexistent-directory");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    EXPECT_EQ(error.object(), "/nonexistent-directory");
  }
}

}  // namespace
}  // namespace vmferry
