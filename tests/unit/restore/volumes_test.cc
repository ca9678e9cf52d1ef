#include <gtest/gtest.h>

#include "engine/restore/output_names.h"
#include "engine/restore/restore.h"
#include "protocol/error.h"

namespace vmferry::restore {
namespace {

PointVolume volume(std::uint32_t number, const std::string& label, bool cracked) {
  PointVolume v;
  v.partition = number;
  v.label = label;
  v.cracked = cracked;
  return v;
}

RestorePoint two_disks() {
  RestorePoint point;
  point.disks.resize(2);
  point.disks[0].volumes = {volume(1, "", false), volume(2, "System", true)};
  point.disks[1].volumes = {volume(1, "D\xc3\xa4ta", true), volume(3, "same", true), volume(4, "SAME", true)};
  return point;
}

std::string error_of(const RestorePoint& point, const std::string& name) {
  try {
    pick_volume(point, name);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    return error.what();
  }
  return {};
}

TEST(Volumes, PathsAreSplitAtTheFirstSeparator) {
  EXPECT_EQ(parse_path("").volume, "");
  EXPECT_EQ(parse_path("C/Users/ann").volume, "C");
  EXPECT_EQ(parse_path("C/Users/ann").path, "Users/ann");
  EXPECT_EQ(parse_path("/Users").volume, "");
  EXPECT_EQ(parse_path("/Users").path, "Users");
  EXPECT_EQ(parse_path("0.2\\Users").path, "Users");
  EXPECT_EQ(parse_path("0.2").volume, "0.2");
}

TEST(Volumes, AreFoundByNumberAndByLabelWhateverItsCase) {
  const RestorePoint point = two_disks();
  EXPECT_EQ(pick_volume(point, "1.3").volume->label, "same");
  EXPECT_EQ(pick_volume(point, "sYSTEM").name, "0.2");
  EXPECT_EQ(pick_volume(point, "d\xc3\x84TA").name, "1.1");
}

TEST(Volumes, AmbiguousOrUnknownNamesSayWhatThereIs) {
  const RestorePoint point = two_disks();
  EXPECT_NE(error_of(point, "same").find("1.4 (SAME)"), std::string::npos);
  EXPECT_NE(error_of(point, "").find("0.2 (System)"), std::string::npos);
  EXPECT_NE(error_of(point, "Users").find("begins with '/'"), std::string::npos);
  EXPECT_NE(error_of(RestorePoint{}, "").find("no volumes"), std::string::npos);
}

TEST(Volumes, TheOnlyCrackedVolumeNeedsNoName) {
  RestorePoint point = two_disks();
  point.disks.pop_back();
  EXPECT_EQ(pick_volume(point, "").name, "0.2");
}

TEST(OutputNames, WhatIsNoNameIsRefused) {
  for (const std::string_view name :
       {std::string_view(""), std::string_view("."), std::string_view(".."), std::string_view("a/b"),
        std::string_view("a\0b", 3), std::string_view("a\nb"), std::string_view("\x7f")})
    EXPECT_TRUE(why_bad_name(name)) << name;
  EXPECT_TRUE(why_bad_name(std::string(256, 'a')));
  EXPECT_FALSE(why_bad_name(std::string(255, 'a')));
  EXPECT_FALSE(why_bad_name("..."));
  EXPECT_FALSE(why_bad_name("a\\b"));
}

TEST(OutputNames, EachNameIsGivenOnce) {
  UniqueNames names;
  EXPECT_EQ(names.take("a.vmdk"), "a.vmdk");
  EXPECT_EQ(names.take("A.vmdk"), "A-1.vmdk");
  EXPECT_EQ(names.take("a.vmdk"), "a-2.vmdk");
  EXPECT_EQ(names.take("plain"), "plain");
  EXPECT_EQ(names.take("plain"), "plain-1");
}

TEST(OutputNames, OnlyTheLastPartOfAPathIsAName) {
  EXPECT_EQ(last_part("/vmfs/volumes/x/a.vmdk", "o"), "a.vmdk");
  EXPECT_EQ(last_part("..\\a.vmdk", "o"), "a.vmdk");
  EXPECT_EQ(last_part("a/..", "o"), "o");
  EXPECT_EQ(last_part("", "o"), "o");
}

}  // namespace
}  // namespace vmferry::restore
