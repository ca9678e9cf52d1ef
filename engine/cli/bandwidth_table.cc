#include "engine/cli/bandwidth_table.h"

#include <algorithm>
#include <toml.hpp>
#include <utility>

#include "protocol/error.h"

namespace vmferry::cli {
namespace {

namespace fs = std::filesystem;

using Line = std::pair<std::string, toml::value>;

[[noreturn]] void wrong(const std::string& place, const std::string& why) {
  throw Error(ErrorCode::usage, "the configuration's [bandwidth] cannot be read", place, why);
}

// TOML's tables have no order, but every value knows where it was written.
std::vector<Line> as_written(const toml::table& table) {
  std::vector<Line> lines(table.begin(), table.end());
  std::ranges::sort(lines, {}, [](const Line& line) {
    const toml::source_location place = line.second.location();
    return std::pair(place.line(), place.column());
  });
  return lines;
}

std::string rate_in(const toml::value& value) {
  if (value.is_string()) return value.as_string();
  if (value.is_integer()) return std::to_string(value.as_integer());  // 0 is a rate; the others lack a unit
  throw Error(ErrorCode::usage, "not a rate", {}, "write it in quotes, as \"20mbit\"");
}

RateSchedule schedule_in(const toml::table& table, const fs::path& config) {
  RateSchedule schedule;
  for (const auto& [key, value] : as_written(table)) {
    try {
      if (key == "limit") {
        schedule.otherwise = parse_rate(rate_in(value));
      } else {
        schedule.rules.push_back(parse_rule(key, rate_in(value)));
      }
    } catch (const Error& error) {
      wrong(config.string() + " line " + std::to_string(value.location().line()), error.what());
    }
  }
  return schedule;
}

}  // namespace

RateSchedule read_bandwidth(const fs::path& config) {
  std::error_code unreadable;
  if (!fs::exists(config, unreadable) && !unreadable) return {};
  try {
    const toml::value values = toml::parse(config.string());
    if (!values.contains("bandwidth")) return {};
    const toml::value& bandwidth = toml::find(values, "bandwidth");
    if (!bandwidth.is_table()) wrong(config.string(), "write [bandwidth], and below it limit = \"20mbit\"");
    return schedule_in(bandwidth.as_table(), config);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {  // toml11's own, and std::runtime_error where it cannot open the file
    wrong(config.string(), error.what());
  }
}

}  // namespace vmferry::cli
