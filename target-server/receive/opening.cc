#include "target-server/receive/opening.h"

#include <algorithm>
#include <tuple>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::target_server {
namespace {

constexpr const char* adopt_advice = "use another --name, or --adopt to go on under this one";

std::string last_point_text(std::uint64_t number, const Opening& opening) {
  return "point " + std::to_string(number) + " of " + opening.machine_name;
}

[[noreturn]] void cannot_be_opened(const char* why) {
  throw Error(ErrorCode::malformed, "the backup cannot be opened", {}, why);
}

template <typename Matches>
std::optional<PointSummary> newest(const std::vector<PointSummary>& points, Matches matches) {
  std::optional<PointSummary> best;
  for (const PointSummary& point : points)
    if (matches(point) &&
        (!best || std::tie(best->arrived_ms, best->number) < std::tie(point.arrived_ms, point.number)))
      best = point;
  return best;
}

}  // namespace

void validate(const Opening& opening) {
  if (!valid_machine_name(opening.machine_name)) cannot_be_opened("the machine's name is not valid");
  if (opening.machine_uuid.is_none()) cannot_be_opened("the machine has no UUID");
  if (opening.disk_uuids.size() > limits::disks_per_machine_max) cannot_be_opened("too many disks");
  if (opening.base_candidates.size() > base_candidates_max) cannot_be_opened("too many base points");
}

std::optional<PointSummary> newest_of_name(const std::vector<PointSummary>& points, const Opening& opening) {
  return newest(points, [&](const PointSummary& point) {
    return point.client_uuid == opening.client_uuid && point.machine_name == opening.machine_name;
  });
}

void refuse_another_machine(const Opening& opening, const PointSummary& last) {
  if (opening.adopt || last.machine_uuid == opening.machine_uuid) return;
  throw Error(ErrorCode::refused, "the name belongs to another machine", opening.machine_name,
              last_point_text(last.number, opening) + " is of machine " + last.machine_uuid.to_string() + ", this is " +
                  opening.machine_uuid.to_string() + ": " + adopt_advice);
}

void refuse_another_machine(const Opening& opening, const RestorePoint& last) {
  if (opening.adopt) return;
  refuse_another_machine(opening, summarize(last));
  bool comparable = false;
  for (const PointDisk& disk : last.disks) {
    if (disk.uuid.is_none()) continue;
    for (const Uuid& uuid : opening.disk_uuids) {
      if (uuid.is_none()) continue;
      if (uuid == disk.uuid) return;
      comparable = true;
    }
  }
  if (comparable)
    throw Error(ErrorCode::refused, "the machine of this name had other disks", opening.machine_name,
                last_point_text(last.number, opening) + " has none of the disks that are there now: " + adopt_advice);
}

std::vector<Uuid> choose_bases(const std::vector<PointSummary>& points, const Opening& opening) {
  std::vector<Uuid> bases;
  const auto add = [&](const Uuid& uuid) {
    if (bases.size() < limits::base_points_max && std::ranges::find(bases, uuid) == bases.end()) bases.push_back(uuid);
  };
  const auto own = newest(points, [&](const PointSummary& point) {
    return point.client_uuid == opening.client_uuid && point.machine_uuid == opening.machine_uuid;
  });
  if (own) add(own->uuid);
  if (opening.adopt) {
    if (const auto last = newest_of_name(points, opening)) add(last->uuid);
    const auto elsewhere =
        newest(points, [&](const PointSummary& point) { return point.machine_uuid == opening.machine_uuid; });
    if (elsewhere) add(elsewhere->uuid);
  }
  for (const Uuid& candidate : opening.base_candidates)
    if (std::ranges::find(points, candidate, &PointSummary::uuid) != points.end()) add(candidate);
  return bases;
}

}  // namespace vmferry::target_server
