#include <gtest/gtest.h>

#include "protocol/error.h"
#include "protocol/point.h"

namespace vmferry {
namespace {

const Uuid own = *Uuid::parse("11111111111111111111111111111111");
const Uuid second = *Uuid::parse("22222222222222222222222222222222");
const Uuid third = *Uuid::parse("33333333333333333333333333333333");
const Uuid machine_a = *Uuid::parse("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
const Uuid machine_b = *Uuid::parse("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");

PointSummary point(const Uuid& client, std::string client_name, std::string machine, std::uint64_t number,
                   std::int64_t arrived_ms, const Uuid& machine_uuid = machine_a) {
  PointSummary summary;
  summary.uuid = Uuid::derived(as_bytes(client_name + machine + std::to_string(number) + machine_uuid.to_string()));
  summary.client_uuid = client;
  summary.client_name = std::move(client_name);
  summary.machine_name = std::move(machine);
  summary.machine_uuid = machine_uuid;
  summary.number = number;
  summary.arrived_ms = arrived_ms;
  return summary;
}

Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::failed, "");
}

bool contains(const Error& error, std::string_view text) {
  return std::string_view(error.what()).find(text) != std::string_view::npos;
}

TEST(PointName, ReadsEveryForm) {
  EXPECT_EQ(parse_point_name("web1").machine, "web1");
  EXPECT_EQ(parse_point_name("web1").which, PointName::Which::latest);
  EXPECT_EQ(parse_point_name("web 1@latest").machine, "web 1");
  const PointName number = parse_point_name("web1@12");
  EXPECT_EQ(number.which, PointName::Which::number);
  EXPECT_EQ(number.number, 12U);
  const PointName id = parse_point_name("host/web1@id:3FA9-0");
  EXPECT_EQ(id.client, "host");
  EXPECT_EQ(id.which, PointName::Which::id_prefix);
  EXPECT_EQ(id.id_prefix, "3fa90");
}

TEST(PointName, WhatIsNoNameIsAUsageError) {
  for (const char* text : {"", "@12", "web1@", "web1@yesterday", "web1@-1", "web1@12x", "web1@99999999999999999999",
                           "web1@id:", "web1@id:xyz", "web1:", "/web1", "a/b/c", "-web1", "..", "web\n1"}) {
    EXPECT_EQ(error_of([&] { parse_point_name(text); }).code(), ErrorCode::usage) << text;
  }
}

TEST(PickPoint, LatestIsTheHighestNumber) {
  const std::vector<PointSummary> all = {point(own, "me", "web1", 2, 50), point(own, "me", "web1", 3, 40),
                                         point(own, "me", "web1", 1, 45), point(own, "me", "db", 9, 99)};
  EXPECT_EQ(pick_point(parse_point_name("web1"), all, own).number, 3U);
  EXPECT_EQ(pick_point(parse_point_name("web1@1"), all, own).number, 1U);
}

TEST(PickPoint, WhatIsNotThereIsNotFound) {
  const std::vector<PointSummary> all = {point(own, "me", "web1", 2, 50)};
  for (const char* name : {"web2", "WEB1", "web1@3", "web1@id:00", "other/web1"}) {
    const Error error = error_of([&] { pick_point(parse_point_name(name), all, own); });
    EXPECT_EQ(error.code(), ErrorCode::not_found) << name;
    EXPECT_TRUE(contains(error, "vmferry points"));
  }
}

TEST(PickPoint, AtTakesTheNewestThatHadArrivedByThen) {
  const std::vector<PointSummary> all = {point(own, "me", "web1", 1, 100), point(own, "me", "web1", 2, 200),
                                         point(own, "me", "web1", 3, 300)};
  PointName name = parse_point_name("web1");
  name.which = PointName::Which::not_after;
  name.not_after_ms = 299;
  EXPECT_EQ(pick_point(name, all, own).number, 2U);
  name.not_after_ms = 300;
  EXPECT_EQ(pick_point(name, all, own).number, 3U);
  name.not_after_ms = 99;
  EXPECT_EQ(error_of([&] { pick_point(name, all, own); }).code(), ErrorCode::not_found);
}

TEST(PickPoint, IdPrefixesMustTellPointsApart) {
  std::vector<PointSummary> all = {point(own, "me", "web1", 1, 100), point(own, "me", "web1", 2, 200)};
  all[0].uuid = *Uuid::parse("3fa90000000000000000000000000001");
  all[1].uuid = *Uuid::parse("3fa91000000000000000000000000001");
  EXPECT_EQ(pick_point(parse_point_name("web1@id:3fa91"), all, own).number, 2U);
  const Error error = error_of([&] { pick_point(parse_point_name("web1@id:3fa9"), all, own); });
  EXPECT_EQ(error.code(), ErrorCode::usage);
  EXPECT_TRUE(contains(error, "3fa90000-0000-0000-0000-000000000001"));
}

TEST(PickPoint, OnesOwnMachineWinsAndElseTheOnlyOne) {
  const std::vector<PointSummary> all = {point(own, "me", "web1", 1, 100), point(second, "you", "web1", 7, 200),
                                         point(second, "you", "db", 3, 200)};
  EXPECT_EQ(pick_point(parse_point_name("web1"), all, own).number, 1U);
  EXPECT_EQ(pick_point(parse_point_name("you/web1"), all, own).number, 7U);
  EXPECT_EQ(pick_point(parse_point_name("2222/web1"), all, own).number, 7U);
  EXPECT_EQ(pick_point(parse_point_name("db"), all, own).number, 3U);
}

TEST(PickPoint, TwoStrangersOfOneNameAreAmbiguousAndNamed) {
  const std::vector<PointSummary> all = {point(second, "you", "web1", 1, 100), point(third, "they", "web1", 7, 200)};
  const Error error = error_of([&] { pick_point(parse_point_name("web1"), all, own); });
  EXPECT_EQ(error.code(), ErrorCode::usage);
  EXPECT_TRUE(contains(error, "you/web1, they/web1"));
  const std::vector<PointSummary> same_host = {point(second, "host", "web1", 1, 100),
                                               point(third, "host", "web1", 7, 200)};
  EXPECT_TRUE(contains(error_of([&] { pick_point(parse_point_name("web1"), same_host, own); }),
                       "33333333-3333-3333-3333-333333333333/web1"));
}

TEST(PickPoint, AnAdoptedNameMeansTheMachineThatHasItNow) {
  const std::vector<PointSummary> all = {point(own, "me", "web1", 30, 100, machine_a),
                                         point(own, "me", "web1", 31, 110, machine_a),
                                         point(own, "me", "web1", 1, 200, machine_b),
                                         point(own, "me", "web1", 2, 210, machine_b)};
  EXPECT_EQ(pick_point(parse_point_name("web1"), all, own), all[3]);
  EXPECT_EQ(pick_point(parse_point_name("web1@1"), all, own), all[2]);
  EXPECT_EQ(pick_point(parse_point_name("web1@30"), all, own), all[0]);
}

TEST(MachineName, IsOnePartOfAPathAndPrintable) {
  for (const char* name : {"web1", "Web Server 1", "büro", "a.b_c", ".hidden", "日本"})
    EXPECT_TRUE(valid_machine_name(name)) << name;
  for (const char* name : {"", ".", "..", "a/b", "a\\b", "a@b", "a:b", "-a", "a\nb", "a\x7f", "\xc2\x85", "\xff",
                           "\xed\xa0\x80"})
    EXPECT_FALSE(valid_machine_name(name)) << name;
  EXPECT_TRUE(valid_machine_name(std::string(255, 'a')));
  EXPECT_FALSE(valid_machine_name(std::string(256, 'a')));
}

}  // namespace
}  // namespace vmferry
