#include "target-server/replicate/copy_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace vmferry::target_server {
namespace {

bool same_machine(const PointSummary& a, const PointSummary& b) {
  return a.client_uuid == b.client_uuid && a.machine_uuid == b.machine_uuid;
}

}  // namespace

std::string name_of(const PointSummary& point) { return point.machine_name + "@" + std::to_string(point.number); }

std::vector<PointSummary> select_points(const std::vector<PointSummary>& all, const std::vector<std::string>& names) {
  if (names.empty()) return all;
  std::set<Uuid> chosen;
  for (const std::string& name : names) {
    const PointSummary one = pick_point(parse_point_name(name), all, {});
    const bool whole_machine = name.find('@') == std::string::npos;
    for (const PointSummary& point : all)
      if (point.uuid == one.uuid ||
          (whole_machine && point.client_uuid == one.client_uuid && point.machine_name == one.machine_name))
        chosen.insert(point.uuid);
  }
  std::vector<PointSummary> selected;
  for (const PointSummary& point : all)
    if (chosen.contains(point.uuid)) selected.push_back(point);
  return selected;
}

CopyPlan plan_copy(const std::vector<PointSummary>& from, const std::vector<PointSummary>& selected,
                   const std::vector<PointSummary>& to) {
  std::set<Uuid> there;
  std::map<std::tuple<Uuid, Uuid, std::uint64_t>, const PointSummary*> numbers;
  for (const PointSummary& point : to) {
    there.insert(point.uuid);
    numbers[{point.client_uuid, point.machine_uuid, point.number}] = &point;
  }
  CopyPlan plan;
  for (const PointSummary& point : from)
    if (there.contains(point.uuid)) plan.both.push_back(point);
  for (const PointSummary& point : selected) {
    const auto number = numbers.find({point.client_uuid, point.machine_uuid, point.number});
    if (there.contains(point.uuid))
      plan.there.push_back(point);
    else if (number != numbers.end())
      plan.conflicts.push_back({point, *number->second});
    else
      plan.missing.push_back(point);
  }
  std::ranges::sort(plan.missing, {}, [](const PointSummary& point) {
    return std::tie(point.machine_name, point.client_uuid, point.machine_uuid, point.number);
  });
  return plan;
}

std::optional<Uuid> nearest_base(const PointSummary& point, const std::vector<PointSummary>& both) {
  const PointSummary* best = nullptr;
  for (const PointSummary& candidate : both) {
    if (!same_machine(candidate, point) || candidate.uuid == point.uuid) continue;
    const auto rank = [&](const PointSummary& one) {  // before it, the later the better; then after it, the earlier
      return one.number < point.number ? std::pair(0, point.number - one.number)
                                       : std::pair(1, one.number - point.number);
    };
    if (best == nullptr || rank(candidate) < rank(*best)) best = &candidate;
  }
  if (best == nullptr) return std::nullopt;
  return best->uuid;
}

}  // namespace vmferry::target_server
