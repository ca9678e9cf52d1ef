#include "engine/cli/bench_report.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/cli/output.h"

namespace vmferry::cli {
namespace {

using measure::Link;
using measure::Night;
using measure::Way;

// "1/19 of rsync", "83 % of rsync", "as much as rsync".
std::string compared_with(const Night& night, std::string_view id) {
  const Way& other = night.way(id);
  const std::uint64_t ours = night.way("vmferry").traffic.sent_bytes;
  if (!other.computed || ours == 0) return {};
  const double times = static_cast<double>(other.traffic.sent_bytes) / static_cast<double>(ours);
  const std::string title(way_title(other));
  std::array<char, 32> text{};
  if (times >= 1.95)
    std::snprintf(text.data(), text.size(), "1/%.0f of ", times);
  else if (std::abs(times - 1) < 0.005)
    return "as much as " + title;
  else
    std::snprintf(text.data(), text.size(), "%.0f %% of ", 100 / times);
  return text.data() + title;
}

nlohmann::json json_of(const Way& way, const BenchResult& result) {
  nlohmann::json row = {{"method", way.id}, {"computed", way.computed}};
  if (!way.computed) return row;
  auto links = nlohmann::json::array();
  for (const Link& link : result.links)
    links.push_back({{"link", link_name(link)},
                     {"link_ms", link_ms(link, way.traffic)},
                     {"night_ms", night_ms(link, way.traffic, way.work_ms)}});
  row.update({{"sent_bytes", way.traffic.sent_bytes},
              {"received_bytes", way.traffic.received_bytes},
              {"round_trips", way.traffic.round_trips},
              {"work_ms", way.work_ms},
              {"links", links}});
  return row;
}

}  // namespace

std::string_view way_title(const Way& way) {
  if (way.id == "copy") return "plain copy";
  if (way.id == "sparse_copy") return "copy of what is allocated";
  if (way.id == "rsync") return "rsync";
  if (way.id == "chunks") return "compressed chunks";
  return "vmferry";
}

std::string way_time(const Way& way, const Link& link) {
  return way.computed ? human_duration_ms(night_ms(link, way.traffic, way.work_ms)) : "?";
}

std::string share_of_disk(std::uint64_t bytes, std::uint64_t disk_bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f %%",
                disk_bytes == 0 ? 0 : 100 * static_cast<double>(bytes) / static_cast<double>(disk_bytes));
  return text.data();
}

std::string night_sentence(const BenchResult& result, std::size_t night) {
  const Night& it = result.nights[night];
  const Way& ours = it.way("vmferry");
  std::string text = "Night " + std::to_string(night + 1) + " sends " + human_bytes(ours.traffic.sent_bytes);
  const char* before = ": ";
  for (const char* id : {"rsync", "chunks"}) {
    const std::string compared = compared_with(it, id);
    if (compared.empty()) continue;
    text += before + compared;
    before = ", ";
  }
  if (!result.links.empty())
    text += "; over " + link_name(result.links.front()) + " in " + way_time(ours, result.links.front());
  return text;
}

std::string night_title(const BenchResult& result, std::size_t night) {
  const Night& it = result.nights[night];
  return "Night " + std::to_string(night + 1) + ": " + printable(it.path.filename().string()) + ", " +
         human_bytes(it.disk_bytes);
}

std::string what_is_counted(const BenchResult& result) {
  return "Sent: all bytes from here to the target, the protocol's own included. Times: the bytes of both directions "
         "over the line's rate, and a few round trips (" +
         std::to_string(result.nights.empty() ? 0 : result.nights.front().way("vmferry").traffic.round_trips) +
         " for a backup and for rsync, 2 for a copy); where reading and compressing took longer on this host (WORK), "
         "that. Compressed at zstd level " +
         std::to_string(result.compression_level) + ", deltas of blocks of " + std::to_string(result.block_bytes) +
         " bytes. rsync: its algorithm over the whole disk, --inplace, not compressed; its own work is not counted. "
         "Nothing was stored.";
}

std::string bench_text(const BenchResult& result) {
  std::string text;
  for (std::size_t i = 0; i < result.nights.size(); ++i) {
    const Night& night = result.nights[i];
    std::vector<std::string> head = {"METHOD", "SENT", "OF THE DISK", "WORK"};
    for (const Link& link : result.links) head.push_back(link_name(link));
    std::vector<std::size_t> right;
    for (std::size_t column = 1; column < head.size(); ++column) right.push_back(column);
    Table table(head, right);
    for (const Way& way : night.ways) {
      std::vector<std::string> row = {std::string(way_title(way)),
                                      way.computed ? human_bytes(way.traffic.sent_bytes) : "?",
                                      way.computed ? share_of_disk(way.traffic.sent_bytes, night.disk_bytes) : "?",
                                      way.work_ms == 0 ? "-" : human_duration_ms(way.work_ms)};
      for (const Link& link : result.links) row.push_back(way_time(way, link));
      table.row(std::move(row));
    }
    text += night_title(result, i) + "\n" + table.text() + night_sentence(result, i) + ".\n\n";
  }
  return text;
}

nlohmann::json bench_json(const BenchResult& result) {
  auto links = nlohmann::json::array();
  for (const Link& link : result.links)
    links.push_back({{"link", link_name(link)},
                     {"bits_per_second", link.bits_per_second},
                     {"round_trip_ms", link.round_trip_ms}});
  auto nights = nlohmann::json::array();
  for (std::size_t i = 0; i < result.nights.size(); ++i) {
    const Night& night = result.nights[i];
    auto ways = nlohmann::json::array();
    for (const Way& way : night.ways) ways.push_back(json_of(way, result));
    nlohmann::json told = to_json(night.report);
    told.update({{"night", i + 1},
                 {"path", night.path.string()},
                 {"disk_bytes", night.disk_bytes},
                 {"methods", ways},
                 {"sentence", night_sentence(result, i)},
                 {"notes", night.notes}});
    nights.push_back(std::move(told));
  }
  return {{"compression_level", result.compression_level},
          {"block_bytes", result.block_bytes},
          {"links", links},
          {"nights", nights}};
}

}  // namespace vmferry::cli
