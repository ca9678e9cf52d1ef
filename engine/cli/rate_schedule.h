// How much of a line a backup or restore may use, and when: "20mbit", and a timetable of rules such as
// {"Mon-Fri 08:00-18:00", "5mbit"}. Pure decisions over values: no clock, no files.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace vmferry::cli {

// "20mbit", "800kbit", "1gbit" (bits a second, in thousands), "2.5MiB", "512KiB" (bytes a second); "unlimited" or "0": 0.
// In bytes a second. Throws Error{usage}.
std::uint64_t parse_rate(const std::string& text);

// A local time as a timetable sees it.
struct WeekTime {
  unsigned day = 0;      // 0: Monday
  unsigned minute = 0;   // of the day
};

class RateSchedule {
 public:
  RateSchedule() = default;
  explicit RateSchedule(std::uint64_t limit) : limit_(limit) {}
  // rules: when and how much, in the order in which they are looked at: the first that matches counts; where none does, the limit.
  // When: days ("Mon", "Mon-Fri", "Sat,Sun", "Fri-Mon"), a time ("08:00-18:00"; "22:00-06:00" ends on the next day, and
  // belongs to the day that it begins on), or both. Throws Error{usage}.
  RateSchedule(std::uint64_t limit, const std::vector<std::pair<std::string, std::string>>& rules);

  std::uint64_t rate_at(const WeekTime& when) const;  // bytes a second; 0: no limit

 private:
  struct Rule {
    std::array<bool, 7> days{};
    unsigned from = 0, to = 24 * 60;  // minutes; to < from: until the next day
    std::uint64_t rate = 0;
    bool covers(const WeekTime& when) const;
  };
  static Rule parse_rule(const std::string& when, const std::string& rate);

  std::uint64_t limit_ = 0;
  std::vector<Rule> rules_;
};

}  // namespace vmferry::cli
