#include "target-server/replicate/copy_plan.h"

#include <gmock/gmock.h>

#include "tests/support/made_point.h"

namespace vmferry::target_server {
namespace {

using test::error_of;
using test::uuid_of;
using testing::ElementsAre;
using testing::IsEmpty;

PointSummary point(const std::string& machine, std::uint64_t number, const std::string& client = "host") {
  PointSummary summary;
  summary.uuid = uuid_of(client + machine + std::to_string(number));
  summary.number = number;
  summary.client_uuid = uuid_of(client);
  summary.client_name = client;
  summary.machine_uuid = uuid_of("machine " + machine);
  summary.machine_name = machine;
  summary.arrived_ms = static_cast<std::int64_t>(number) * 1000;
  return summary;
}

std::vector<std::string> names(const std::vector<PointSummary>& points) {
  std::vector<std::string> all;
  for (const PointSummary& one : points) all.push_back(name_of(one));
  return all;
}

TEST(CopyPlan, TakesWhatIsMissingMachineByMachineOldestFirst) {
  const std::vector<PointSummary> selected = {point("web", 10), point("db", 2), point("web", 9), point("db", 1)};
  const CopyPlan plan = plan_copy(selected, selected, {point("web", 9)});
  EXPECT_THAT(names(plan.missing), ElementsAre("db@1", "db@2", "web@10"));
  EXPECT_THAT(names(plan.there), ElementsAre("web@9"));
  EXPECT_THAT(plan.conflicts, IsEmpty());
}

TEST(CopyPlan, ANumberThatTheOtherStoreGaveToAnotherPointIsAConflict) {
  PointSummary theirs = point("web", 2);
  theirs.uuid = uuid_of("made there");
  const std::vector<PointSummary> selected = {point("web", 1), point("web", 2), point("web", 2, "other host")};
  const CopyPlan plan = plan_copy(selected, selected, {theirs});
  EXPECT_THAT(names(plan.missing), ElementsAre("web@1", "web@2"));
  EXPECT_EQ(plan.missing[1].client_name, "other host");
  ASSERT_EQ(plan.conflicts.size(), 1u);
  EXPECT_EQ(plan.conflicts[0].theirs.uuid, theirs.uuid);
}

TEST(CopyPlan, BuildsOnPointsThatNobodyAskedToCopy) {
  const std::vector<PointSummary> all = {point("web", 1), point("web", 2)};
  const CopyPlan plan = plan_copy(all, {all[1]}, {all[0]});
  EXPECT_THAT(names(plan.missing), ElementsAre("web@2"));
  EXPECT_THAT(plan.there, IsEmpty());
  EXPECT_EQ(nearest_base(plan.missing[0], plan.both), all[0].uuid);
}

TEST(CopyPlan, ANameMeansAllOfAMachineAndAPointOnlyItself) {
  const std::vector<PointSummary> all = {point("db", 1), point("web", 1), point("web", 2), point("web", 3)};
  EXPECT_EQ(select_points(all, {}).size(), 4u);
  EXPECT_THAT(names(select_points(all, {"web"})), ElementsAre("web@1", "web@2", "web@3"));
  EXPECT_THAT(names(select_points(all, {"web@2", "db", "web@2"})), ElementsAre("db@1", "web@2"));
  EXPECT_THAT(names(select_points(all, {"web@latest"})), ElementsAre("web@3"));
  EXPECT_EQ(error_of([&] { select_points(all, {"mail"}); }).code(), ErrorCode::not_found);
  EXPECT_EQ(error_of([&] { select_points(all, {"web@7"}); }).code(), ErrorCode::not_found);
  const std::vector<PointSummary> of_two = {point("web", 1), point("web", 1, "b")};
  EXPECT_EQ(error_of([&] { select_points(of_two, {"web"}); }).code(), ErrorCode::usage);
}

TEST(CopyPlan, TheBaseIsThePointBeforeElseTheOneAfterOfTheSameMachine) {
  const std::vector<PointSummary> both = {point("web", 2), point("web", 5), point("web", 9), point("db", 6),
                                          point("web", 6, "other host")};
  EXPECT_EQ(nearest_base(point("web", 7), both), point("web", 5).uuid);
  EXPECT_EQ(nearest_base(point("web", 1), both), point("web", 2).uuid);
  EXPECT_EQ(nearest_base(point("web", 99), both), point("web", 9).uuid);
  EXPECT_EQ(nearest_base(point("mail", 1), both), std::nullopt);
}

}  // namespace
}  // namespace vmferry::target_server
