// What a person or a program is shown of a backup's traffic. Pure: values in, values and text out. In every list each
// byte is in one line only, so lines add up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "engine/catalog/traffic.h"
#include "protocol/point.h"

namespace vmferry::cli {

inline constexpr std::size_t traffic_lines_default = 20;
inline constexpr unsigned directory_percent_default = 3;

struct TrafficLine {
  std::string path;          // where there are several volumes, with the volume before it
  bool is_rest = false;      // of a directory: what no other line has of it
  std::uint64_t streams = 0;
  catalog::TrafficBytes bytes;
};
struct TrafficLines {
  std::vector<TrafficLine> lines;  // those that sent most first
  TrafficLine others;              // all that has no line
};

// At most `limit` lines.
TrafficLines largest_files(const catalog::PointTraffic& traffic, std::size_t limit);
// A directory has a line when it sent at least `percent` of all, not counting what lines of directories below it have.
// So a directory that only holds another one has none, and one with a thousand small ones in it has one for all of
// them. percent 0: every directory with files of its own that sent something.
TrafficLines largest_directories(const catalog::PointTraffic& traffic, std::size_t limit, unsigned percent);

// The point that a name means: of the machine and store of that name's newest backup; else of another one. Throws
// Error{not_found} or Error{usage}, with what to do.
catalog::TrafficPoint pick_traffic(const PointName& name, const std::vector<catalog::TrafficPoint>& points,
                                   const std::string& own_client_name, const Uuid& own_client);

// "61.3 MiB sent for 2.5 GiB read: 41.0 MiB as deltas of 310.0 MiB of changed chunks, 18.0 MiB whole, ..."
std::string traffic_sentence(const catalog::TrafficPoint& point);
// A table with the lines, the others, what was unchanged, trees and protocol, and the sum: all that the backup sent.
std::string traffic_table(const std::string& head, const TrafficLines& lines, const catalog::TrafficPoint& point);
// For the end of a backup: two lines, each with its newline; empty where nothing was sent of any file.
std::string traffic_summary(const catalog::PointTraffic& traffic);

nlohmann::json traffic_totals_json(const catalog::TrafficPoint& point);
nlohmann::json to_json(const TrafficLines& lines);
// Totals, the largest `limit` files and directories.
nlohmann::json traffic_json(const catalog::PointTraffic& traffic, std::size_t limit);

}  // namespace vmferry::cli
