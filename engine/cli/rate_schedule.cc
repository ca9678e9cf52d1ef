#include "engine/cli/rate_schedule.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <string_view>

#include "protocol/error.h"

namespace vmferry::cli {
namespace {

constexpr unsigned day_minutes = 24 * 60;
constexpr double rate_min = 1000;  // less would starve the link's own housekeeping
constexpr double rate_max = 1e12;

struct Unit {
  std::string_view name;
  double bytes;
};
// "mb" is none in any case of its letters but "MB": it could mean either.
constexpr std::array bit_units = {Unit{"kbit", 1e3 / 8}, Unit{"mbit", 1e6 / 8}, Unit{"gbit", 1e9 / 8}};
constexpr std::array byte_units = {Unit{"KiB", 1 << 10}, Unit{"MiB", 1 << 20}, Unit{"GiB", 1 << 30}, Unit{"kB", 1e3},
                                   Unit{"KB", 1e3},      Unit{"MB", 1e6},      Unit{"GB", 1e9}};

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return result;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

[[noreturn]] void no_rate(const std::string& text, const std::string& advice) {
  throw Error(ErrorCode::usage, "not a rate", text, advice);
}
[[noreturn]] void no_unit(const std::string& text) {
  no_rate(text, "write 20mbit or 800kbit (bits a second), 2.5MiB or 512KiB (bytes a second), or unlimited");
}

double unit_bytes(std::string_view name, const std::string& text) {
  for (const Unit& unit : byte_units)
    if (name == unit.name) return unit.bytes;
  for (const Unit& unit : bit_units)
    if (lower_case(name) == unit.name) return unit.bytes;
  no_unit(text);
}

[[noreturn]] void no_time(const std::string& when) {
  throw Error(ErrorCode::usage, "not a time of a timetable", when,
              "write days, times, or both: \"Mon-Fri 08:00-18:00\", \"Sat,Sun\", \"22:00-06:00\"");
}

std::size_t day_number(std::string_view name, const std::string& when) {
  static constexpr std::array<std::string_view, 7> names = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
  const auto found = std::ranges::find(names, lower_case(name));
  if (found == names.end()) no_time(when);
  return static_cast<std::size_t>(found - names.begin());
}

// "Mon", "Mon-Fri", "Fri-Mon", "Sat,Sun", "Mon-Wed,Fri".
std::bitset<7> parse_days(std::string_view text, const std::string& when) {
  std::bitset<7> days;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t dash = part.find('-');
    const std::size_t last = day_number(dash == part.npos ? part : part.substr(dash + 1), when);
    for (std::size_t day = day_number(part.substr(0, dash), when);; day = (day + 1) % 7) {
      days.set(day);
      if (day == last) break;
    }
    if (comma == text.npos) return days;
    text.remove_prefix(comma + 1);
  }
}

// "08:00", at most "24:00".
unsigned parse_minute(std::string_view text, const std::string& when) {
  const auto digit = [&](std::size_t at) {
    if (text[at] < '0' || text[at] > '9') no_time(when);
    return static_cast<unsigned>(text[at] - '0');
  };
  if (text.size() != 5 || text[2] != ':') no_time(when);
  const unsigned hour = digit(0) * 10 + digit(1), minute = digit(3) * 10 + digit(4);
  if (minute > 59 || hour * 60 + minute > day_minutes) no_time(when);
  return hour * 60 + minute;
}

void parse_times(std::string_view text, RateRule& rule, const std::string& when) {
  const std::size_t dash = text.find('-');
  if (dash == text.npos) no_time(when);
  rule.begin_minute = parse_minute(text.substr(0, dash), when);
  rule.end_minute = parse_minute(text.substr(dash + 1), when);
  if (rule.begin_minute == rule.end_minute || rule.begin_minute == day_minutes) no_time(when);
}

bool covers(const RateRule& rule, std::size_t day, unsigned minute) {
  if (rule.begin_minute < rule.end_minute)
    return rule.days[day] && rule.begin_minute <= minute && minute < rule.end_minute;
  const std::size_t yesterday = (day + 6) % 7;
  return (rule.days[day] && minute >= rule.begin_minute) || (rule.days[yesterday] && minute < rule.end_minute);
}

}  // namespace

BytesPerSecond parse_rate(const std::string& text) {
  std::string_view rest = trimmed(text);
  if (lower_case(rest) == "unlimited" || rest == "0") return 0;
  if (rest.empty() || rest.front() < '0' || rest.front() > '9') no_unit(text);
  double number = 0;
  const auto [end, fault] = std::from_chars(rest.data(), rest.data() + rest.size(), number, std::chars_format::fixed);
  if (fault != std::errc()) no_unit(text);
  rest = trimmed(rest.substr(static_cast<std::size_t>(end - rest.data())));
  if (rest.ends_with("/s")) rest.remove_suffix(2);
  const double rate = number * unit_bytes(rest, text);
  if (rate == 0) return 0;
  if (rate < rate_min) no_rate(text, "8kbit is the least; unlimited is no limit");
  if (rate > rate_max) no_rate(text, "write unlimited instead");
  return static_cast<BytesPerSecond>(std::llround(rate));
}

std::string rate_text(BytesPerSecond rate) {
  if (rate == 0) return "unlimited";
  const double bits = static_cast<double>(rate) * 8;
  const bool mega = bits >= 1e6;
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f %s", bits / (mega ? 1e6 : 1e3) < 100 ? 1 : 0, bits / (mega ? 1e6 : 1e3),
                mega ? "Mbit/s" : "kbit/s");
  return text.data();
}

RateRule parse_rule(const std::string& when, const std::string& rate) {
  RateRule rule;
  const std::string_view text = trimmed(when);
  if (text.empty()) no_time(when);
  const bool has_days = text.front() < '0' || text.front() > '9';
  const std::size_t times = has_days ? text.find(' ') : 0;
  rule.days.set();
  if (has_days) rule.days = parse_days(text.substr(0, times), when);
  if (times != text.npos) parse_times(trimmed(text.substr(times)), rule, when);
  rule.rate = parse_rate(rate);
  return rule;
}

BytesPerSecond rate_at(const RateSchedule& schedule, std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  const auto day = static_cast<std::size_t>((local.tm_wday + 6) % 7);
  const auto minute = static_cast<unsigned>(local.tm_hour * 60 + local.tm_min);
  for (const RateRule& rule : schedule.rules)
    if (covers(rule, day, minute)) return rule.rate;
  return schedule.otherwise;
}

}  // namespace vmferry::cli
