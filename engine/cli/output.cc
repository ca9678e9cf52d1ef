#include "engine/cli/output.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include <nlohmann/json.hpp>

#include "protocol/error.h"

namespace vmferry::cli {
namespace {

template <typename... Args>
std::string format(const char* pattern, Args... args) {
  std::array<char, 128> text;
  const int length = std::snprintf(text.data(), text.size(), pattern, args...);
  return {text.data(), static_cast<std::size_t>(std::max(0, length))};
}

std::string strftime_text(const char* pattern, const std::tm& broken_down) {
  std::array<char, 64> text;
  return {text.data(), std::strftime(text.data(), text.size(), pattern, &broken_down)};
}

std::int64_t floor_seconds(std::int64_t unix_ms) { return unix_ms / 1000 - (unix_ms % 1000 < 0 ? 1 : 0); }

// Terminal columns, near enough: one per code point.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  static constexpr std::array units = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return format("%.1f %s", value, units[unit]);
}

std::string human_count(std::uint64_t count) {
  std::string text = std::to_string(count);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

std::string human_duration_ms(std::uint64_t ms) {
  if (ms < 60'000) return format("%.1f s", static_cast<double>(ms) / 1000);
  const unsigned long long seconds = ms / 1000;
  if (seconds < 3600) return format("%llu min %02llu s", seconds / 60, seconds % 60);
  return format("%llu h %02llu min", seconds / 3600, seconds / 60 % 60);
}

std::string local_time_ms(std::int64_t unix_ms) {
  const std::time_t seconds = floor_seconds(unix_ms);
  std::tm local{};
  localtime_r(&seconds, &local);
  return strftime_text("%Y-%m-%d %H:%M:%S", local);
}

std::string local_filetime(std::uint64_t filetime) {
  constexpr std::int64_t unix_epoch_ms = 11'644'473'600'000;
  return local_time_ms(static_cast<std::int64_t>(filetime / 10'000) - unix_epoch_ms);
}

std::string utc_time_ms(std::int64_t unix_ms) {
  const std::time_t seconds = floor_seconds(unix_ms);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return strftime_text("%Y-%m-%dT%H:%M:%SZ", utc);
}

std::int64_t parse_local_time_ms(const std::string& text) {
  for (const auto& [pattern, end_of_day] : {std::pair{"%Y-%m-%d %H:%M:%S", false}, {"%Y-%m-%dT%H:%M:%S", false},
                                            {"%Y-%m-%d %H:%M", false}, {"%Y-%m-%dT%H:%M", false}, {"%Y-%m-%d", true}}) {
    std::tm local{};
    local.tm_isdst = -1;
    const char* end = strptime(text.c_str(), pattern, &local);
    if (end == nullptr || *end != '\0') continue;
    if (end_of_day) local.tm_hour = 23, local.tm_min = 59, local.tm_sec = 59;
    const std::time_t seconds = std::mktime(&local);
    if (seconds == -1) break;
    return static_cast<std::int64_t>(seconds) * 1000 + 999;
  }
  throw Error(ErrorCode::usage, "not a time", text, "write it as '2026-11-22 04:00', in local time");
}

std::int64_t parse_age_ms(const std::string& text) {
  std::size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  const std::string unit = text.substr(digits);
  const std::int64_t factor = unit == "s" ? 1'000 : unit == "m" ? 60'000 : unit == "h" ? 3'600'000 : unit == "d" ? 86'400'000 : 0;
  if (digits == 0 || digits > 6 || factor == 0)
    throw Error(ErrorCode::usage, "not an age", text, "write it as 26h, 90m, 2d or 45s");
  return std::stoll(text.substr(0, digits)) * factor;
}

std::string shell_quoted(const std::string& text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("_-./:@%+=,").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) return text;
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'')
      quoted += "'\\''";
    else
      quoted += c;
  }
  return quoted + "'";
}

std::string printable(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (code < 0x20 || code == 0x7f)
      out += format("\\x%02x", code);
    else
      out += c;
  }
  return out;
}

Table::Table(std::vector<std::string> head, std::vector<std::size_t> right) : right_(std::move(right)) {
  rows_.push_back(std::move(head));
}

void Table::row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

std::string Table::text() const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string pad(widths[i] - width_of(row[i]), ' ');
      const bool to_the_right = std::find(right_.begin(), right_.end(), i) != right_.end();
      line += (i == 0 ? "" : "  ") + (to_the_right ? pad + row[i] : row[i] + pad);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

nlohmann::json to_json(const Warning& warning) {
  return {{"code", warning.code}, {"object", warning.object}, {"message", warning.message}};
}

nlohmann::json to_json(const std::vector<Warning>& warnings) {
  auto list = nlohmann::json::array();
  for (const Warning& warning : warnings) list.push_back(to_json(warning));
  return list;
}

nlohmann::json to_json(const BackupReport& report) {
  return {{"files", report.files},
          {"read_bytes", report.read_bytes},
          {"chunks", report.chunks},
          {"new_chunks", report.new_chunks},
          {"new_bytes", report.new_bytes},
          {"delta_chunks", report.delta_chunks},
          {"delta_bytes", report.delta_bytes},
          {"delta_wire_bytes", report.delta_wire_bytes},
          {"node_wire_bytes", report.node_wire_bytes},
          {"warnings", to_json(report.warnings)}};
}

std::string_view source_name(SourceKind kind) { return kind == SourceKind::off ? "off" : "frozen"; }

std::string short_id(const Uuid& uuid) { return "id:" + to_hex(uuid.view()).substr(0, 8); }

}  // namespace vmferry::cli
