#include "engine/cli/bench_page.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "engine/cli/output.h"

namespace vmferry::cli {
namespace {

using measure::Link;
using measure::Night;
using measure::Way;

// Colours: blue for ours, greys for what one has today; links by shape as well as by colour.
constexpr std::string_view style = R"(
:root { color-scheme: light dark; --page: #fdfdfc; --text: #1c1e21; --quiet: #5b6068; --line: #d6d8dc; --other: #9aa1ab;
  --ours: #1f6fd6; --link0: #b4530a; --link1: #2f7d4f; --link2: #7a4bc4; --link3: #5b6068; }
@media (prefers-color-scheme: dark) { :root { --page: #17191c; --text: #e8e9eb; --quiet: #a4aab3; --line: #3a3e45;
  --other: #767d88; --ours: #6aa8f5; --link0: #f0a35e; --link1: #74c795; --link2: #b99af0; --link3: #a4aab3; } }
body { background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; } h3 { font-size: 1rem; margin-bottom: 0.3rem; }
.result { font-size: 1.1rem; } .quiet { color: var(--quiet); font-size: 0.9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 1rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--quiet); font-size: 0.9rem; padding-bottom: 0.3rem; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; font-weight: normal; }
tr.ours th, tr.ours td { font-weight: 600; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--text); font-size: 13px; }
svg .quiet { fill: var(--quiet); font-size: 12px; } svg .grid { stroke: var(--line); }
.bar { fill: var(--other); } .bar.ours { fill: var(--ours); } .gap { stroke: var(--page); stroke-width: 4; }
.link0 { fill: var(--link0); } .link1 { fill: var(--link1); } .link2 { fill: var(--link2); }
.link3 { fill: var(--link3); }
)";

constexpr double plot_width = 860, label_width = 190, value_width = 110, row_height = 28;
constexpr double bar_room = plot_width - label_width - value_width;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string text_at(double x, double y, const std::string& text, const std::string& attributes = {}) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\"" + (attributes.empty() ? "" : " " + attributes) + ">" +
         escaped(text) + "</text>\n";
}

std::string svg_begin(double height, const std::string& says) {
  return "<svg viewBox=\"0 0 " + number(plot_width) + " " + number(height) +
         "\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"" + escaped(says) + "\">\n";
}

bool ours(const Way& way) { return way.id == "vmferry"; }

// Bars of what is sent. A copy that would dwarf the rest is cut, visibly, and its number says how long it is.
std::string sent_plot(const Night& night) {
  std::uint64_t longest = 1;
  for (const Way& way : night.ways)
    if (way.computed && way.id != "copy" && way.id != "sparse_copy")
      longest = std::max(longest, way.traffic.sent_bytes);
  const double scale = bar_room / (static_cast<double>(longest) * 1.08);
  std::string out = svg_begin(row_height * static_cast<double>(night.ways.size()) + 8,
                              "Bytes sent by each method; the table below has the numbers");
  double y = 4;
  for (const Way& way : night.ways) {
    out += text_at(label_width - 10, y + 18, std::string(way_title(way)), "text-anchor=\"end\"");
    if (!way.computed) {
      out += text_at(label_width + 4, y + 18, "not computed", "class=\"quiet\"");
      y += row_height;
      continue;
    }
    const double whole = static_cast<double>(way.traffic.sent_bytes) * scale;
    const double length = std::clamp(whole, 1.0, bar_room);
    out += "<rect class=\"bar" + std::string(ours(way) ? " ours" : "") + "\" x=\"" + number(label_width) + "\" y=\"" +
           number(y + 4) + "\" width=\"" + number(length) + "\" height=\"" + number(row_height - 8) + "\"/>\n";
    if (whole > bar_room)
      out += "<path class=\"gap\" fill=\"none\" d=\"M" + number(label_width + bar_room - 34) + " " +
             number(y + row_height - 2) + " l 8 " + number(-(row_height - 4)) + " m 6 0 l -8 " +
             number(row_height - 4) + "\"/>\n";
    out += text_at(label_width + length + 8, y + 18, human_bytes(way.traffic.sent_bytes));
    y += row_height;
  }
  return out + "</svg>\n";
}

// A mark at (x, y) for the link of this number: circle, square, diamond, triangle.
std::string mark(std::size_t link, double x, double y) {
  const std::string shade = "class=\"link" + std::to_string(std::min<std::size_t>(link, 3)) + "\" ";
  switch (link % 4) {
    case 0:
      return "<circle " + shade + "cx=\"" + number(x) + "\" cy=\"" + number(y) + "\" r=\"6\"/>\n";
    case 1:
      return "<rect " + shade + "x=\"" + number(x - 5.5) + "\" y=\"" + number(y - 5.5) +
             "\" width=\"11\" height=\"11\"/>\n";
    case 2:
      return "<path " + shade + "d=\"M" + number(x) + " " + number(y - 7.5) +
             " l 7.5 7.5 l -7.5 7.5 l -7.5 -7.5 z\"/>\n";
    default:
      return "<path " + shade + "d=\"M" + number(x) + " " + number(y - 7) + " l 7 12 l -14 0 z\"/>\n";
  }
}

struct Instant {
  double seconds;
  const char* name;
};
constexpr std::array instants = {Instant{0.1, "0.1 s"},
                                 Instant{1, "1 s"},
                                 Instant{10, "10 s"},
                                 Instant{60, "1 min"},
                                 Instant{600, "10 min"},
                                 Instant{3600, "1 h"},
                                 Instant{6 * 3600, "6 h"},
                                 Instant{24 * 3600, "1 day"},
                                 Instant{7 * 24 * 3600, "1 week"},
                                 Instant{30 * 24 * 3600, "30 days"},
                                 Instant{365 * 24 * 3600, "1 year"}};

// How long each takes, one mark per link, on an axis of powers.
std::string time_plot(const BenchResult& result, const Night& night) {
  double shortest = 1e300, longest = 0;
  for (const Way& way : night.ways) {
    for (const Link& link : result.links) {
      if (!way.computed) continue;
      const double seconds = std::max(0.05, static_cast<double>(night_ms(link, way.traffic, way.work_ms)) / 1000);
      shortest = std::min(shortest, seconds);
      longest = std::max(longest, seconds);
    }
  }
  const double low = std::log(shortest * 0.7), high = std::log(longest * 1.4);
  const double room = plot_width - label_width - 20;
  const auto place = [&](double seconds) { return label_width + room * (std::log(seconds) - low) / (high - low); };

  const double rows = static_cast<double>(night.ways.size()) * row_height;
  const double top = 30;
  std::string out =
      svg_begin(top + rows + 30,
                "Time that each method takes over each link, on a logarithmic axis; the table below has the numbers");
  double x = label_width;
  for (std::size_t i = 0; i < result.links.size(); ++i) {
    const std::string name = link_name(result.links[i]);
    out += mark(i, x + 6, 12) + text_at(x + 18, 17, name);
    x += 40 + 8 * static_cast<double>(name.size());
  }
  for (const Instant& instant : instants) {
    if (std::log(instant.seconds) < low || std::log(instant.seconds) > high) continue;
    const std::string at = number(place(instant.seconds));
    out += "<line class=\"grid\" x1=\"" + at + "\" x2=\"" + at + "\" y1=\"" + number(top) + "\" y2=\"" +
           number(top + rows) + "\"/>\n";
    out += text_at(place(instant.seconds), top + rows + 18, instant.name, "text-anchor=\"middle\" class=\"quiet\"");
  }
  double y = top;
  for (const Way& way : night.ways) {
    out += text_at(label_width - 10, y + 18, std::string(way_title(way)), "text-anchor=\"end\"");
    for (std::size_t i = 0; way.computed && i < result.links.size(); ++i) {
      const double seconds =
          std::max(0.05, static_cast<double>(night_ms(result.links[i], way.traffic, way.work_ms)) / 1000);
      out += mark(i, place(seconds), y + row_height / 2);
    }
    y += row_height;
  }
  return out + "</svg>\n";
}

std::string table(const BenchResult& result, const Night& night) {
  const auto cell = [](const std::string& text) { return "<td>" + escaped(text) + "</td>"; };
  const auto head = [](const std::string& text) { return "<th scope=\"col\">" + escaped(text) + "</th>"; };
  std::string out =
      "<div class=\"wide\"><table>\n<caption>What each method sends, and how long the night takes over each "
      "link</caption>\n"
      "<thead><tr>" +
      head("Method") + head("Sent") + head("Of the disk") + head("Received") + head("Work");
  for (const Link& link : result.links) out += head(link_name(link));
  out += "</tr></thead>\n<tbody>\n";
  for (const Way& way : night.ways) {
    out += std::string(ours(way) ? "<tr class=\"ours\">" : "<tr>") + "<th scope=\"row\">" +
           escaped(std::string(way_title(way))) + "</th>";
    out += cell(way.computed ? human_bytes(way.traffic.sent_bytes) : "?");
    out += cell(way.computed ? share_of_disk(way.traffic.sent_bytes, night.disk_bytes) : "?");
    out += cell(way.computed ? human_bytes(way.traffic.received_bytes) : "?");
    out += cell(way.work_ms == 0 ? "-" : human_duration_ms(way.work_ms));
    for (const Link& link : result.links) out += cell(way_time(way, link));
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace

std::string bench_page(const BenchResult& result) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<title>What would a night cost?</title>\n<style>" +
      std::string(style) + "</style>\n</head>\n<body>\n<h1>What would a night cost?</h1>\n";
  for (std::size_t i = 0; i < result.nights.size(); ++i) {
    const Night& night = result.nights[i];
    out += "<section>\n<h2>" + escaped(night_title(result, i)) + "</h2>\n<p class=\"result\">" +
           escaped(night_sentence(result, i)) + ".</p>\n<h3>Sent</h3>\n" + sent_plot(night);
    if (!result.links.empty()) out += "<h3>How long the night takes</h3>\n" + time_plot(result, night);
    out += table(result, night);
    for (const std::string& note : night.notes) out += "<p class=\"quiet\">" + escaped(note) + "</p>\n";
    out += "</section>\n";
  }
  return out + "<h2>What is counted</h2>\n<p class=\"quiet\">" + escaped(what_is_counted(result)) +
         "</p>\n</body>\n</html>\n";
}

}  // namespace vmferry::cli
