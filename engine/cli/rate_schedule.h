// Rates as people write them, and a timetable of them: which rate holds at a time. Values and pure functions over them:
// no files, and no clock but the one that the caller read. A timetable goes by the clock on the wall, daylight saving
// included: where the clocks go forward the hour that is missing is passed over, where they go back the hour that comes
// twice is covered twice.
#pragma once

#include <bitset>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace vmferry::cli {

using BytesPerSecond = std::uint64_t;  // 0: unlimited

// "20mbit", "5 Mbit/s", "800kbit", "1gbit": bits, in thousands; "2.5MiB", "512KiB/s", "10MB": bytes; "unlimited", "0".
// Throws Error{usage}.
BytesPerSecond parse_rate(const std::string& text);
// "20 Mbit/s", "unlimited": parse_rate() reads it back.
std::string rate_text(BytesPerSecond rate);

struct RateRule {
  std::bitset<7> days;            // Monday first
  unsigned begin_minute = 0;      // of the day
  unsigned end_minute = 24 * 60;  // before begin_minute: of the day after, which need not be among the days
  BytesPerSecond rate = 0;
};
// when: days ("Mon", "Mon-Fri", "Sat,Sun", "Fri-Mon"), a time ("08:00-18:00", "20:00-24:00"; "22:00-06:00" belongs to
// the day on which it begins), or both: "Mon-Fri 08:00-18:00". Throws Error{usage}.
RateRule parse_rule(const std::string& when, const std::string& rate);

struct RateSchedule {
  BytesPerSecond otherwise = 0;  // where no rule covers the time
  std::vector<RateRule> rules;   // the first that covers a time counts
};

// The time as this host's clock shows it (TZ, /etc/localtime).
BytesPerSecond rate_at(const RateSchedule& schedule, std::chrono::system_clock::time_point time);

}  // namespace vmferry::cli
