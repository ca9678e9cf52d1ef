// The table [bandwidth] of the configuration file: a timetable, the first line that covers a time counts, in the order
// in which they are written; and `limit`, which holds when none does (without it: unlimited).
//
//   [bandwidth]
//   limit = "100mbit"
//   "Mon-Fri 08:00-18:00" = "5mbit"
//   "Sat,Sun" = "unlimited"
//   "22:00-06:00" = "50mbit"              # into the morning of the day after
#pragma once

#include <filesystem>

#include "engine/cli/rate_schedule.h"

namespace vmferry::cli {

// A file that is not there, or has no such table: unlimited. Throws Error{usage} for one that is wrong, with its line.
RateSchedule read_bandwidth(const std::filesystem::path& config);

}  // namespace vmferry::cli
