// floor --day1 A.raw --day2 B.raw [--json]: the least that a day of changes takes, and for what.
#include <array>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/floor/floor.h"

namespace {

using namespace vmferry::bench;
using nlohmann::json;

constexpr std::array kinds{"file", "metadata", "opaque"};
constexpr std::array formers{"new", "same path", "same record"};

const char* name_of(StreamKind kind) { return kinds[static_cast<std::size_t>(kind)]; }
const char* name_of(Former former) { return formers[static_cast<std::size_t>(former)]; }

json as_json(const FloorReport& report) {
  json by_kind;
  for (const char* kind : kinds) by_kind[kind] = {{"streams", 0}, {"bytes", 0}, {"floor_bytes", 0}};
  json rows = json::array();
  for (const FloorRow& row : report.rows) {
    json& sum = by_kind[name_of(row.kind)];
    sum["streams"] = sum["streams"].get<std::uint64_t>() + 1;
    sum["bytes"] = sum["bytes"].get<std::uint64_t>() + row.bytes;
    sum["floor_bytes"] = sum["floor_bytes"].get<std::uint64_t>() + row.floor_bytes;
    rows.push_back({{"path", row.path},
                    {"kind", name_of(row.kind)},
                    {"former", name_of(row.former)},
                    {"bytes", row.bytes},
                    {"former_bytes", row.former_bytes},
                    {"floor_bytes", row.floor_bytes}});
  }
  return {{"floor_bytes", report.floor_bytes},   {"grouped_bytes", report.grouped_bytes},
          {"disk_bytes", report.disk_bytes},     {"data_bytes", report.data_bytes},
          {"copied_bytes", report.copied_bytes}, {"cpu_s", report.cpu_seconds},
          {"by_kind", by_kind},                  {"rows", rows}};
}

void print(const json& report) {
  const auto mib = [](const json& bytes) { return bytes.get<double>() / (1 << 20); };
  std::printf("floor %.2f MiB (%.2f where small files are compressed together); data %.1f MiB; CPU %.1f s\n",
              mib(report["floor_bytes"]), mib(report["grouped_bytes"]), mib(report["data_bytes"]),
              report["cpu_s"].get<double>());
  for (const char* kind : kinds) {
    const json& sum = report["by_kind"][kind];
    std::printf("  %-9s %6llu streams, %10.2f MiB changed streams, floor %9.3f MiB\n", kind,
                sum["streams"].get<unsigned long long>(), mib(sum["bytes"]), mib(sum["floor_bytes"]));
  }
  std::size_t shown = 0;
  for (const json& row : report["rows"]) {
    if (++shown > 20) break;
    std::printf("%9.3f MiB of %9.3f  %-11s  %s\n", mib(row["floor_bytes"]), mib(row["bytes"]),
                row["former"].get<std::string>().c_str(), row["path"].get<std::string>().c_str());
  }
}

}  // namespace

int main(int count, char** words) {
  try {
    std::string day1;
    std::string day2;
    bool for_program = false;
    for (int i = 1; i < count; ++i) {
      const std::string word = words[i];
      if (word == "--json") {
        for_program = true;
      } else if (word == "--day1" && i + 1 < count) {
        day1 = words[++i];
      } else if (word == "--day2" && i + 1 < count) {
        day2 = words[++i];
      } else {
        day1.clear();
        break;
      }
    }
    if (day1.empty() || day2.empty()) throw std::runtime_error("usage: floor --day1 A.raw --day2 B.raw [--json]");
    const json report = as_json(compute_floor(day1, day2));
    if (for_program) {
      std::puts(report.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    } else {
      print(report);
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "floor: %s\n", error.what());
    return 1;
  }
}
