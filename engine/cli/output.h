// What vmferry prints: sizes, times and tables for a person, one JSON object for a program. Only the CLI prints.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "protocol/point.h"

namespace vmferry::cli {

std::string human_bytes(std::uint64_t bytes);        // "728.3 MiB"
std::string human_count(std::uint64_t count);        // "18,432"
std::string human_duration_ms(std::uint64_t ms);     // "12.3 s", "4 min 05 s", "2 h 13 min"
std::string local_time_ms(std::int64_t unix_ms);     // "2026-11-22 04:00:13"
std::string local_filetime(std::uint64_t filetime);  // the same, of NTFS's 100 ns since 1601
std::string utc_time_ms(std::int64_t unix_ms);       // "2026-11-22T04:00:13Z", for --json
// "2026-11-22 04:00[:00]" or "2026-11-22" (its last second), local time -> Unix ms. Throws Error{usage}.
std::int64_t parse_local_time_ms(const std::string& text);
// "26h", "90m", "2d", "45s" -> ms. Throws Error{usage}.
std::int64_t parse_age_ms(const std::string& text);
// `vm's disk` -> 'vm'\''s disk': what a person can paste into a shell.
std::string shell_quoted(const std::string& text);
// Control characters of names from a guest or a peer as \xNN: they must not reach a terminal.
std::string printable(const std::string& text);

// Columns padded to their widest cell; those named in `right` (by index) to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> head, std::vector<std::size_t> right = {});
  void row(std::vector<std::string> cells);
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::size_t> right_;
};

nlohmann::json to_json(const Warning& warning);
nlohmann::json to_json(const std::vector<Warning>& warnings);
// What a backup read and what was new in it, the same wherever a report is told; more members are added to it.
nlohmann::json to_json(const BackupReport& report);
std::string_view source_name(SourceKind kind);  // "off", "frozen"
std::string short_id(const Uuid& uuid);         // "id:3fa9c1d2"

}  // namespace vmferry::cli
