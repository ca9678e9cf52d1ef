#include "engine/cli/traffic_view.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/cli/output.h"
#include "protocol/error.h"

namespace vmferry::cli {
namespace {

using catalog::TrafficBytes;
using catalog::TrafficPoint;

std::uint64_t saturated(std::uint64_t whole, std::uint64_t part) { return whole > part ? whole - part : 0; }

// What is neither of streams nor of trees: offers, headers, the commit.
std::uint64_t other_sent(const TrafficPoint& point) {
  return saturated(point.sent_bytes, point.streams.sent + point.trees.sent);
}

std::uint64_t read_bytes(const TrafficPoint& point) { return point.streams.read + point.unchanged_bytes; }

bool is_this_client(const std::string& named, const std::string& own_name, const Uuid& own) {
  std::string digits = named;
  std::erase(digits, '-');
  return named.empty() || named == own_name || (!digits.empty() && to_hex(own.view()).starts_with(digits));
}

bool fits(const PointName& name, const TrafficPoint& point) {
  switch (name.which) {
    case PointName::Which::latest: return true;
    case PointName::Which::number: return point.number == name.number;
    case PointName::Which::id_prefix: return to_hex(point.point.view()).starts_with(name.id_prefix);
    case PointName::Which::not_after: return point.taken_ms <= name.not_after_ms;
  }
  return false;
}

nlohmann::json bytes_json(const TrafficBytes& bytes) {
  return {{"read_bytes", bytes.read},   {"reused_bytes", bytes.reused}, {"delta_bytes", bytes.delta},
          {"whole_bytes", bytes.whole}, {"sent_bytes", bytes.sent},     {"delta_sent_bytes", bytes.delta_sent}};
}

nlohmann::json line_json(const TrafficLine& line) {
  nlohmann::json object = bytes_json(line.bytes);
  object["path"] = line.path;
  object["streams"] = line.streams;
  if (line.is_rest) object["without_lines_below"] = true;
  return object;
}

std::string size_or_dash(std::uint64_t bytes) { return bytes == 0 ? "-" : human_bytes(bytes); }

void row(Table& table, const TrafficBytes& bytes, const std::string& what) {
  table.row({size_or_dash(bytes.sent), size_or_dash(bytes.read), size_or_dash(bytes.reused), size_or_dash(bytes.delta),
             size_or_dash(bytes.whole), what});
}

}  // namespace

catalog::TrafficPoint pick_traffic(const PointName& name, const std::vector<TrafficPoint>& points,
                                   const std::string& own_client_name, const Uuid& own_client) {
  if (!is_this_client(name.client, own_client_name, own_client))
    throw Error(ErrorCode::usage, "the catalog knows only the backups of its own controller",
                name.client + "/" + name.machine,
                "run vmferry explain on that controller, or name its catalog with --catalog");
  std::vector<TrafficPoint> of_name;
  for (const TrafficPoint& point : points)
    if (point.machine_name == name.machine) of_name.push_back(point);
  if (of_name.empty())
    throw Error(
        ErrorCode::not_found, "the catalog has no account of a backup of this machine", name.machine,
        "`vmferry explain --points` lists what it has; the next backup adds one (older versions of vmferry kept none)");
  const auto newer = [](const TrafficPoint& a, const TrafficPoint& b) {
    return a.taken_ms != b.taken_ms ? a.taken_ms > b.taken_ms : a.number > b.number;
  };
  std::sort(of_name.begin(), of_name.end(), newer);
  // Numbers are a machine's own in one store: those of the newest backup's come first.
  const TrafficPoint newest = of_name.front();
  std::stable_partition(of_name.begin(), of_name.end(), [&](const TrafficPoint& point) {
    return point.machine == newest.machine && point.store == newest.store;
  });
  const auto found =
      std::find_if(of_name.begin(), of_name.end(), [&](const TrafficPoint& point) { return fits(name, point); });
  if (found != of_name.end()) return *found;
  const auto [oldest, last] = std::minmax_element(
      of_name.begin(), of_name.end(), [](const TrafficPoint& a, const TrafficPoint& b) { return a.number < b.number; });
  throw Error(ErrorCode::not_found, "the catalog has no account of this point", name.machine,
              "it has " + std::to_string(of_name.size()) + ", from " + std::to_string(oldest->number) + " to " +
                  std::to_string(last->number) + "; it keeps a machine's newest " +
                  std::to_string(catalog::traffic_points_max) + ". `vmferry explain " + name.machine +
                  " --points` lists them");
}

std::string traffic_sentence(const TrafficPoint& point) {
  const TrafficBytes& streams = point.streams;
  std::string text = human_bytes(point.sent_bytes) + " sent for " + human_bytes(read_bytes(point)) + " read";
  std::vector<std::string> parts;
  if (streams.delta > 0)
    parts.push_back(human_bytes(streams.delta_sent) + " as deltas of " + human_bytes(streams.delta) +
                    " of changed chunks");
  if (streams.whole > 0)
    parts.push_back(human_bytes(saturated(streams.sent, streams.delta_sent)) + " whole for " +
                    human_bytes(streams.whole));
  if (point.trees.sent > 0) parts.push_back(human_bytes(point.trees.sent) + " file system trees");
  if (other_sent(point) > 0) parts.push_back(human_bytes(other_sent(point)) + " protocol");
  for (std::size_t i = 0; i < parts.size(); ++i) text += (i == 0 ? ": " : ", ") + parts[i];
  return text;
}

std::string traffic_table(const std::string& head, const TrafficLines& lines, const TrafficPoint& point) {
  Table table({"SENT", "READ", "REUSED", "DELTA", "WHOLE", head}, {0, 1, 2, 3, 4});
  TrafficBytes total;
  const auto add = [&](const TrafficBytes& bytes, const std::string& what) {
    row(table, bytes, what);
    total += bytes;
  };
  for (const TrafficLine& line : lines.lines)
    add(line.bytes, printable(line.path) + (line.is_rest ? " (the rest)" : ""));
  if (lines.others.streams > 0) add(lines.others.bytes, "(" + human_count(lines.others.streams) + " others)");
  if (point.unchanged_streams > 0) {
    TrafficBytes unchanged;
    unchanged.read = unchanged.reused = point.unchanged_bytes;
    add(unchanged, "(" + human_count(point.unchanged_streams) + " unchanged)");
  }
  if (point.trees.sent > 0) {
    TrafficBytes trees;  // they are made, not read: only what they sent belongs into the sums
    trees.sent = point.trees.sent;
    add(trees, "(file system trees)");
  }
  if (const std::uint64_t other = other_sent(point); other > 0) {
    TrafficBytes rest;
    rest.sent = other;
    add(rest, "(protocol)");
  }
  row(table, total, "all");
  return table.text();
}

std::string traffic_summary(const catalog::PointTraffic& traffic) {
  const TrafficBytes& streams = traffic.point.streams;
  if (streams.sent == 0) return {};
  const auto line = [](const std::string& what, std::uint64_t bytes, const std::string& more) {
    const std::string size = human_bytes(bytes);
    return "  " + what + std::string(what.size() < 9 ? 9 - what.size() : 0, ' ') + ' ' +
           std::string(size.size() < 10 ? 10 - size.size() : 0, ' ') + size + "  " + more + "\n";
  };
  std::string text = line("deltas", streams.delta_sent,
                          "for " + human_bytes(streams.delta) + " of changed chunks; " +
                              human_bytes(saturated(streams.sent, streams.delta_sent)) + " for " +
                              human_bytes(streams.whole) + " of new ones");
  const TrafficLines largest = largest_files(traffic, 3);
  std::string others;
  for (std::size_t i = 1; i < largest.lines.size(); ++i)
    if (largest.lines[i].bytes.sent > 0)
      others += ", " + printable(largest.lines[i].path) + " " + human_bytes(largest.lines[i].bytes.sent);
  if (!largest.lines.empty())
    text += line("largest", largest.lines.front().bytes.sent, printable(largest.lines.front().path) + others);
  return text;
}

nlohmann::json traffic_totals_json(const TrafficPoint& point) {
  return {{"sent_bytes", point.sent_bytes},
          {"read_bytes", read_bytes(point)},
          {"streams", bytes_json(point.streams)},
          {"unchanged", {{"streams", point.unchanged_streams}, {"bytes", point.unchanged_bytes}}},
          {"trees", bytes_json(point.trees)},
          {"other_sent_bytes", other_sent(point)}};
}

nlohmann::json to_json(const TrafficLines& lines) {
  auto list = nlohmann::json::array();
  for (const TrafficLine& line : lines.lines) list.push_back(line_json(line));
  nlohmann::json others = bytes_json(lines.others.bytes);
  others["streams"] = lines.others.streams;
  return {{"lines", list}, {"others", others}};
}

nlohmann::json traffic_json(const catalog::PointTraffic& traffic, std::size_t limit) {
  nlohmann::json object = traffic_totals_json(traffic.point);
  object["files"] = to_json(largest_files(traffic, limit));
  object["directories"] = to_json(largest_directories(traffic, limit, directory_percent_default));
  return object;
}

}  // namespace vmferry::cli
