#include "engine/cli/rate_schedule.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <string_view>

#include "protocol/error.h"

namespace vmferry::cli {
namespace {

constexpr unsigned day_minutes = 24 * 60;
constexpr std::array<std::string_view, 7> day_names = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

struct Unit {
  std::string_view name;
  double bytes;
};
constexpr std::array<Unit, 8> units = {{{"kbit", 1e3 / 8},
                                        {"mbit", 1e6 / 8},
                                        {"gbit", 1e9 / 8},
                                        {"kib", 1024},
                                        {"mib", 1024.0 * 1024},
                                        {"gib", 1024.0 * 1024 * 1024},
                                        {"bit", 1.0 / 8},
                                        {"b", 1}}};
constexpr double rate_max = 1e12;

[[noreturn]] void no_rate(const std::string& text) {
  throw Error(ErrorCode::usage, "not a rate", text, "write it as 20mbit, 800kbit, 1gbit, 2.5MiB (a second) or unlimited");
}

[[noreturn]] void no_time(const std::string& text) {
  throw Error(ErrorCode::usage, "not a time of a timetable", text,
              "write it as \"Mon-Fri 08:00-18:00\", \"Sat,Sun\" or \"22:00-06:00\"");
}

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

unsigned day_of(const std::string& name, const std::string& text) {
  const auto found = std::ranges::find(day_names, name);
  if (found == day_names.end()) no_time(text);
  return static_cast<unsigned>(found - day_names.begin());
}

unsigned two_digits(const std::string& word, std::size_t at, unsigned most, const std::string& text) {
  unsigned value = 0;
  const auto [end, fault] = std::from_chars(word.data() + at, word.data() + at + 2, value);
  if (fault != std::errc() || end != word.data() + at + 2 || value > most) no_time(text);
  return value;
}

unsigned minute_of(const std::string& word, const std::string& text) {  // "08:00"
  if (word.size() != 5 || word[2] != ':') no_time(text);
  const unsigned minute = two_digits(word, 0, 24, text) * 60 + two_digits(word, 3, 59, text);
  if (minute > day_minutes) no_time(text);
  return minute;
}

void add_days(const std::string& word, std::array<bool, 7>& days, const std::string& text) {
  std::istringstream parts(word);
  for (std::string part; std::getline(parts, part, ',');) {
    const std::size_t dash = part.find('-');
    const unsigned first = day_of(part.substr(0, dash), text);
    const unsigned last = dash == std::string::npos ? first : day_of(part.substr(dash + 1), text);
    for (unsigned day = first;; day = (day + 1) % 7) {
      days[day] = true;
      if (day == last) break;
    }
  }
}

}  // namespace

std::uint64_t parse_rate(const std::string& given) {
  std::string text = lower_case(given);
  if (text == "unlimited" || text == "0") return 0;
  if (text.ends_with("/s")) text.resize(text.size() - 2);
  double value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const auto found = std::ranges::find(units, std::string_view(unit), &Unit::name);
  if (fault != std::errc() || found == units.end() || !std::isfinite(value) || value <= 0) no_rate(given);
  const double bytes = value * found->bytes;
  if (bytes < 1 || bytes > rate_max) no_rate(given);
  return static_cast<std::uint64_t>(bytes);
}

RateSchedule::RateSchedule(std::uint64_t limit, const std::vector<std::pair<std::string, std::string>>& rules)
    : limit_(limit) {
  for (const auto& [when, rate] : rules) rules_.push_back(parse_rule(when, rate));
}

RateSchedule::Rule RateSchedule::parse_rule(const std::string& when, const std::string& rate) {
  Rule rule;
  rule.rate = parse_rate(rate);
  bool any_day = false, any_time = false;
  std::istringstream words(when);
  for (std::string word; words >> word;) {
    const bool is_time = word.front() >= '0' && word.front() <= '9';
    if (is_time ? any_time : any_day) no_time(when);
    if (is_time) {
      const std::size_t dash = word.find('-');
      if (dash == std::string::npos) no_time(when);
      rule.from = minute_of(word.substr(0, dash), when);
      rule.to = minute_of(word.substr(dash + 1), when);
      if (rule.from == rule.to) no_time(when);
      any_time = true;
    } else {
      add_days(word, rule.days, when);
      any_day = true;
    }
  }
  if (!any_day && !any_time) no_time(when);
  if (!any_day) rule.days.fill(true);
  return rule;
}

bool RateSchedule::Rule::covers(const WeekTime& when) const {
  const unsigned yesterday = (when.day + 6) % 7;
  if (from < to) return days[when.day] && when.minute >= from && when.minute < to;
  return (days[when.day] && when.minute >= from) || (days[yesterday] && when.minute < to);
}

std::uint64_t RateSchedule::rate_at(const WeekTime& when) const {
  for (const Rule& rule : rules_)
    if (rule.covers(when)) return rule.rate;
  return limit_;
}

}  // namespace vmferry::cli
