#include <CLI/CLI.hpp>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/catalog/catalog.h"
#include "engine/cli/command.h"
#include "engine/cli/output.h"
#include "engine/cli/reference.h"
#include "engine/cli/traffic_view.h"
#include "protocol/error.h"

namespace vmferry::cli {
namespace {

struct ExplainArguments {
  std::string name;
  std::string at;
  std::string by;
  std::size_t limit = 0;  // 0: not given
  bool all = false;
  bool points = false;

  bool shows(std::string_view what) const { return by.empty() || by == what; }
};

std::unique_ptr<catalog::Catalog> open_catalog(const Settings& settings) {
  std::error_code failed;
  if (!std::filesystem::exists(settings.catalog, failed))  // opening would make an empty one
    throw Error(
        ErrorCode::not_found, "there is no catalog here", settings.catalog.string(),
        "explain answers from the catalog of the controller that makes the backups: run it there, or name its file "
        "with --catalog");
  return catalog::Catalog::open(settings.catalog);
}

nlohmann::json head_json(const catalog::TrafficPoint& point) {
  return {{"name", point.machine_name},
          {"point", point.number},
          {"id", to_hex(point.point.view())},
          {"machine_uuid", point.machine.to_string()},
          {"store_uuid", point.store.to_string()},
          {"taken", utc_time_ms(point.taken_ms)}};
}

int list_points(const Settings& settings, const std::vector<catalog::TrafficPoint>& points) {
  if (settings.json) {
    auto list = nlohmann::json::array();
    for (const catalog::TrafficPoint& point : points) {
      nlohmann::json object = head_json(point);
      object.update(traffic_totals_json(point));
      list.push_back(std::move(object));
    }
    return print_json({{"points", list}}, exit_done);
  }
  if (points.empty()) {
    std::fprintf(stderr, "the catalog has no account of any backup yet: the next one adds it\n");
    return exit_done;
  }
  Table table({"NAME", "POINT", "ID", "TAKEN", "SENT", "DELTAS", "WHOLE", "TREES"}, {1, 4, 5, 6, 7});
  for (const catalog::TrafficPoint& point : points) {
    const std::uint64_t deltas = point.streams.delta_sent;
    table.row({printable(point.machine_name), std::to_string(point.number), short_id(point.point),
               local_time_ms(point.taken_ms), human_bytes(point.sent_bytes), human_bytes(deltas),
               human_bytes(point.streams.sent > deltas ? point.streams.sent - deltas : 0),
               human_bytes(point.trees.sent)});
  }
  std::fputs(table.text().c_str(), stdout);
  return exit_done;
}

int print_for_a_program(const catalog::PointTraffic& traffic, const ExplainArguments& arguments) {
  // A program gets everything, unless it asks for less.
  const std::size_t limit = arguments.limit == 0 ? std::numeric_limits<std::size_t>::max() : arguments.limit;
  nlohmann::json object = head_json(traffic.point);
  object.update(traffic_totals_json(traffic.point));
  if (arguments.shows("directory"))
    object["directories"] =
        to_json(largest_directories(traffic, limit, arguments.all ? 0 : directory_percent_default));
  if (arguments.shows("file")) object["files"] = to_json(largest_files(traffic, limit));
  return print_json(std::move(object), exit_done);
}

void print_for_a_person(const catalog::PointTraffic& traffic, const ExplainArguments& arguments) {
  const std::size_t limit = arguments.all          ? std::numeric_limits<std::size_t>::max()
                            : arguments.limit == 0 ? traffic_lines_default
                                                   : arguments.limit;
  const catalog::TrafficPoint& point = traffic.point;
  std::printf("%s, point %llu of %s: %s\n", printable(point.machine_name).c_str(),
              static_cast<unsigned long long>(point.number), local_time_ms(point.taken_ms).substr(0, 16).c_str(),
              traffic_sentence(point).c_str());
  const auto print = [&](const char* head, const TrafficLines& lines) {
    std::printf("\n%s", traffic_table(head, lines, point).c_str());
  };
  if (arguments.shows("directory"))
    print("DIRECTORY", largest_directories(traffic, limit, arguments.all ? 0 : directory_percent_default));
  if (arguments.shows("file")) print("FILE", largest_files(traffic, limit));
}

int run_explain_command(const Settings& settings, const ExplainArguments& arguments) {
  const auto catalog = open_catalog(settings);
  if (arguments.name.empty()) {
    if (arguments.points) return list_points(settings, catalog->traffic_points({}));
    throw Error(ErrorCode::usage, "explain needs a machine", {}, "name one, or list all with --points");
  }
  const Reference reference = parse_reference(arguments.name, arguments.at);
  if (reference.path)
    throw Error(ErrorCode::usage, "explain takes a machine and a point, no path", arguments.name,
                "--all shows every file");
  const auto points = catalog->traffic_points(reference.point.machine);
  const catalog::ClientIdentity client = catalog->client();
  const catalog::TrafficPoint picked = pick_traffic(reference.point, points, client.name, client.uuid);
  if (arguments.points) return list_points(settings, points);
  const auto traffic = catalog->traffic(picked.point);
  if (!traffic) throw Error(ErrorCode::not_found, "the account of this point went away", arguments.name, "try again");
  if (settings.json) return print_for_a_program(*traffic, arguments);
  print_for_a_person(*traffic, arguments);
  return exit_done;
}

}  // namespace

void add_explain_command(CLI::App& app, Invocation& invocation) {
  auto arguments = std::make_shared<ExplainArguments>();
  CLI::App* command =
      app.add_subcommand("explain", "Say why a backup sent what it sent: the largest directories and files");
  command->footer(
      "Answers from the catalog; no target is needed. Each byte is in one line of a table, so lines add up to what "
      "the\n"
      "backup sent. READ = REUSED (the target had it) + DELTA (in chunks sent as deltas) + WHOLE (in chunks sent "
      "whole).\n\n"
      "Examples:\n"
      "  vmferry explain web1                   # the newest backup\n"
      "  vmferry explain web1@12 --by file --limit 50\n"
      "  vmferry explain web1 --points          # what the catalog can explain\n"
      "  vmferry explain web1 --json");
  command->add_option("name", arguments->name, "Whose backup")->type_name("NAME[@POINT]");
  command->add_option("--by", arguments->by, "Only this table")->check(CLI::IsMember({"file", "directory"}));
  auto* limit = command->add_option("--limit", arguments->limit, "Lines of a table (default 20; with --json all)")
                    ->check(CLI::Range(1, 1'000'000))
                    ->type_name("20");
  command->add_flag("--all", arguments->all, "Every file, and every directory with files of its own")->excludes(limit);
  command->add_flag("--points", arguments->points, "List the backups that can be explained");
  command->add_option("--at", arguments->at, "The newest backup not after this local time")
      ->type_name("'2026-11-22 04:00'");
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return run_explain_command(invocation.settings, *arguments); };
  });
}

}  // namespace vmferry::cli
