// Opening a backup: whose name it is, and from which base points. Pure decisions over what the store lists.
#pragma once

#include <optional>
#include <vector>

#include "protocol/point.h"

namespace vmferry::target_server {

inline constexpr std::size_t base_candidates_max = 1024;

struct Opening {
  Uuid client_uuid;
  Uuid machine_uuid;
  std::string machine_name;
  std::vector<Uuid> disk_uuids;
  bool adopt = false;
  std::vector<Uuid> base_candidates;  // newest first, at most base_candidates_max
};

// Throws Error{malformed} for what no vmferry sends.
void validate(const Opening& opening);

// The newest point that this client has under this name, of whichever machine.
std::optional<PointSummary> newest_of_name(const std::vector<PointSummary>& points, const Opening& opening);

// Throws Error{refused} where the name's last point is of another machine, or of the same machine with none of the
// disks that are known now (disks whose UUIDs nobody knows prove nothing). With adopt, nothing is refused.
void refuse_another_machine(const Opening& opening, const RestorePoint& last_of_name);
// The same as far as a summary tells, where the point itself is damaged: by the machine alone.
void refuse_another_machine(const Opening& opening, const PointSummary& last_of_name);

// At most limits::base_points_max, each in the store: this machine's newest point, then the candidates in their order; with
// adopt also the name's last point and the newest of this machine under other clients, before the candidates.
std::vector<Uuid> choose_bases(const std::vector<PointSummary>& points, const Opening& opening);

}  // namespace vmferry::target_server
