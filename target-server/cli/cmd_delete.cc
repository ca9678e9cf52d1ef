#include <CLI/CLI.hpp>

#include "protocol/error.h"
#include "protocol/point.h"
#include "target-server/cli/commands.h"
#include "target-server/cli/json_members.h"
#include "target-server/cli/store_owner.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {
namespace {

Outcome delete_point(const std::string& directory, const std::string& text, bool dry_run) {
  // A point must be named: nobody means "the newest" by leaving it out.
  if (text.find('@') == std::string::npos)
    throw Error(ErrorCode::usage, "the restore point to delete is not named", text,
                "write NAME@NUMBER, as `vmferry points` lists them");
  const PointName name = parse_point_name(text);
  become_owner_of(directory);
  const auto opened = store::Store::open(directory, {.writable = false, .socket = {}});
  const PointSummary point = pick_point(name, opened->points(), Uuid{});
  opened->remove_point(point.uuid, dry_run);
  const std::string named = point.machine_name + "@" + std::to_string(point.number);
  const nlohmann::ordered_json facts = {{"name", point.machine_name}, {"point", point.number},
                                        {"uuid", point.uuid.to_string()}, {"dry_run", dry_run}};
  return {dry_run ? "Would delete " + named + ". Nothing was changed.\n"
                  : "Deleted " + named + ". The space of what only it used is not yet given back.\n",
          json_members(facts)};
}

}  // namespace

void add_delete_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("delete", "Delete one restore point");
  const auto directory = std::make_shared<std::string>();
  const auto name = std::make_shared<std::string>();
  const auto dry_run = std::make_shared<bool>(false);
  command->add_option("point", *name, "the restore point: NAME@NUMBER or NAME@id:PREFIX")
      ->required()
      ->type_name("NAME@POINT");
  command->add_option("--store", *directory, "the store's directory")->required()->type_name("DIR");
  command->add_flag("--dry-run", *dry_run, "only say what would be deleted");
  command->footer("Example:\n  vmferry-target delete web1@12 --store /backup/vmferry --dry-run");
  command->callback([=, &invocation] {
    invocation.run = [=] { return delete_point(*directory, *name, *dry_run); };
  });
}

}  // namespace vmferry::target_server
