#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "engine/cli/command.h"
#include "engine/cli/output.h"
#include "engine/cli/reference.h"
#include "protocol/error.h"

namespace vmferry::cli {
namespace {

struct PointsArguments {
  std::string name;
  std::string max_age;
};

std::vector<PointSummary> points_of(const std::string& name, target::TargetSession& session, const Uuid& own_client) {
  std::vector<PointSummary> all = session.points();
  if (name.empty()) return all;
  // The newest point of that name says which machine is meant, or why that is unclear.
  const PointSummary newest = pick_point(parse_point_name(name), all, own_client);
  std::erase_if(all, [&](const PointSummary& point) {
    return point.client_uuid != newest.client_uuid || point.machine_name != newest.machine_name;
  });
  return all;
}

nlohmann::json json_of(const PointSummary& point) {
  return {{"name", point.machine_name},
          {"point", point.number},
          {"id", to_hex(point.uuid.view())},
          {"machine_uuid", point.machine_uuid.to_string()},
          {"client", point.client_name},
          {"client_uuid", point.client_uuid.to_string()},
          {"source", source_name(point.source)},
          {"taken", utc_time_ms(point.taken_ms)},
          {"arrived", utc_time_ms(point.arrived_ms)},
          {"disk_bytes", point.disk_bytes},
          {"data_bytes", point.data_bytes},
          {"new_bytes", point.new_bytes},
          {"stored_bytes", point.stored_bytes},
          {"warnings", point.warnings}};
}

// The newest point of each machine must be younger than max_age.
std::vector<std::string> stale_machines(const std::vector<PointSummary>& points, std::int64_t max_age_ms) {
  const std::int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  std::map<std::pair<Uuid, std::string>, std::int64_t> newest;
  for (const PointSummary& point : points) {
    std::int64_t& arrived = newest[{point.client_uuid, point.machine_name}];
    arrived = std::max(arrived, point.arrived_ms);
  }
  std::vector<std::string> stale;
  for (const auto& [machine, arrived] : newest)
    if (now - arrived > max_age_ms) stale.push_back(machine.second + " (newest point: " + local_time_ms(arrived) + ")");
  return stale;
}

int run_points_command(const Settings& settings, const PointsArguments& arguments) {
  const std::int64_t max_age_ms = arguments.max_age.empty() ? 0 : parse_age_ms(arguments.max_age);
  const Reading reading = open_for_reading(settings);
  const auto points = points_of(arguments.name, reading.session(), reading.own_client);
  std::vector<std::string> stale;
  if (max_age_ms > 0) {
    stale = stale_machines(points, max_age_ms);
    if (points.empty()) stale.push_back("no machine has a point at this target");
  }
  if (settings.json) {
    auto list = nlohmann::json::array();
    for (const PointSummary& point : points) list.push_back(json_of(point));
    nlohmann::json object{{"points", list}, {"stale", stale}};
    if (!stale.empty()) object["error"] = {{"code", "stale"}, {"message", "the newest point is too old: " + stale.front()}};
    return print_json(std::move(object), stale.empty() ? exit_done : 1);
  }
  if (points.empty()) {
    std::fprintf(stderr, "no points yet: `vmferry backup DISK.vmdk` makes the first\n");
  } else {
    Table table({"NAME", "POINT", "ID", "ARRIVED", "SOURCE", "DISK", "DATA", "NEW", "WARNINGS"}, {1, 5, 6, 7, 8});
    for (const PointSummary& point : points)
      table.row({printable(point.machine_name), std::to_string(point.number), short_id(point.uuid),
                 local_time_ms(point.arrived_ms), std::string(source_name(point.source)), human_bytes(point.disk_bytes),
                 human_bytes(point.data_bytes), human_bytes(point.new_bytes),
                 point.warnings == 0 ? "-" : std::to_string(point.warnings)});
    std::fputs(table.text().c_str(), stdout);
  }
  for (const std::string& machine : stale)
    std::fprintf(stderr, "too old (--max-age %s): %s\n", arguments.max_age.c_str(), printable(machine).c_str());
  return stale.empty() ? exit_done : 1;
}

}  // namespace

void add_points_command(CLI::App& app, Invocation& invocation) {
  auto arguments = std::make_shared<PointsArguments>();
  CLI::App* command = app.add_subcommand("points", "List restore points");
  command->footer(
      "Examples:\n"
      "  vmferry points\n"
      "  vmferry points web1 --max-age 26h    # for monitoring: fails where the newest point is older");
  command->add_option("name", arguments->name, "Only this machine's")->type_name("NAME");
  command->add_option("--max-age", arguments->max_age, "Fail where a machine's newest point is older")->type_name("26h");
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return run_points_command(invocation.settings, *arguments); };
  });
}

}  // namespace vmferry::cli
