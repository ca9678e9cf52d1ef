// What a copy between two stores has to do. Pure decisions over what the stores list.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "protocol/point.h"

namespace vmferry::target_server {

// The points that these names mean: NAME all of a machine's, NAME@POINT one; no names: all. Each once.
// Throws Error{usage}, Error{not_found}.
std::vector<PointSummary> select_points(const std::vector<PointSummary>& all, const std::vector<std::string>& names);

struct CopyPlan {
  std::vector<PointSummary> missing;  // machine by machine, each oldest first: the next is a small step from the last
  std::vector<PointSummary> there;    // selected, and in the other store already
  std::vector<PointSummary> both;     // selected or not: what copies can be built on
  // The other store has another point of the machine with the same number.
  struct Conflict {
    PointSummary ours, theirs;
  };
  std::vector<Conflict> conflicts;
};
CopyPlan plan_copy(const std::vector<PointSummary>& from, const std::vector<PointSummary>& selected,
                   const std::vector<PointSummary>& to);

// The best base for a copy of `point`: of the same machine's points that both stores have the one before it, else the
// one after it.
std::optional<Uuid> nearest_base(const PointSummary& point, const std::vector<PointSummary>& both);

// "web1@12"
std::string name_of(const PointSummary& point);

}  // namespace vmferry::target_server
