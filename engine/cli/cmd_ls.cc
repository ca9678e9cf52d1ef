#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "engine/cli/command.h"
#include "engine/cli/output.h"
#include "engine/cli/reference.h"
#include "protocol/error.h"

namespace vmferry::cli {
namespace {

struct LsArguments {
  std::string reference;
  std::string at;
  bool recursive = false;
};

int list_volumes(const RestorePoint& point, bool json) {
  const auto rows = restore::volumes_of(point);
  if (json) {
    auto list = nlohmann::json::array();
    for (const restore::VolumeRow& row : rows)
      list.push_back({{"volume", row.name},
                      {"disk", row.disk->key},
                      {"partition", row.volume->partition},
                      {"label", row.volume->label},
                      {"type", row.volume->type},
                      {"file_system", row.volume->file_system},
                      {"cracked", row.volume->cracked},
                      {"bytes", row.volume->range.length},
                      {"data_bytes", row.volume->bytes.data},
                      {"files", row.volume->files},
                      {"flags", row.volume->flags}});
    return print_json({{"name", point.machine_name}, {"point", point.number}, {"volumes", list}}, exit_done);
  }
  Table table({"VOLUME", "LABEL", "DISK", "TYPE", "SIZE", "DATA", "FILES"}, {4, 5, 6});
  for (const restore::VolumeRow& row : rows)
    table.row({row.name, printable(row.volume->label), row.disk->key,
               row.volume->file_system.empty() ? printable(row.volume->type) : row.volume->file_system,
               human_bytes(row.volume->range.length), human_bytes(row.volume->bytes.data),
               row.volume->cracked ? human_count(row.volume->files) : "opaque"});
  std::fputs(table.text().c_str(), stdout);
  return exit_done;
}

nlohmann::json json_of(const restore::ListRow& row) {
  constexpr std::int64_t unix_epoch_ms = 11'644'473'600'000;
  const auto utc = [](std::uint64_t filetime) {
    return utc_time_ms(static_cast<std::int64_t>(filetime / 10'000) - unix_epoch_ms);
  };
  return {{"path", row.path},
          {"type", row.entry.is_directory ? "directory" : "file"},
          {"bytes", row.entry.data_bytes},
          {"attributes", row.entry.attributes},
          {"reparse_tag", row.entry.reparse_tag},
          {"created", utc(row.entry.times.created)},
          {"modified", utc(row.entry.times.modified)},
          {"accessed", utc(row.entry.times.accessed)}};
}

// A volume may hold millions of files: the rows are printed as they come, in one JSON object all the same.
int list_path(const RestorePoint& point, const LsArguments& arguments, const restore::PathInPoint& where,
              target::TargetSession& session, bool json) {
  if (!json) {
    restore::list_files(point, where, arguments.recursive, session, [](const restore::ListRow& row) {
      std::printf("%14s  %s  %s%s\n", row.entry.is_directory ? "-" : human_count(row.entry.data_bytes).c_str(),
                  local_filetime(row.entry.times.modified).c_str(), printable(row.path).c_str(),
                  row.entry.is_directory ? "/" : "");
    });
    return exit_done;
  }
  std::uint64_t rows = 0;
  const std::string head = nlohmann::json{{"name", point.machine_name}, {"point", point.number}}.dump();
  restore::list_files(point, where, arguments.recursive, session, [&](const restore::ListRow& row) {
    // Nothing is printed before the first row: until then a failure is still the one object that was promised.
    if (rows++ == 0) std::printf("%s, \"entries\": [\n", head.substr(0, head.size() - 1).c_str());
    if (rows > 1) std::printf(",\n");
    std::fputs(json_of(row).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str(), stdout);
  });
  if (rows == 0) return print_json({{"name", point.machine_name}, {"point", point.number}, {"entries", nlohmann::json::array()}}, exit_done);
  std::printf("\n], \"exit_code\": 0}\n");
  return exit_done;
}

int run_ls_command(const Settings& settings, const LsArguments& arguments) {
  const Reference reference = parse_reference(arguments.reference, arguments.at);
  const Reading reading = open_for_reading(settings);
  const RestorePoint point = resolve_point(reference.point, reading.session(), reading.own_client);
  // "NAME:" lists the volumes; "NAME:/" is the root of the only volume that has files.
  const bool root_wanted = arguments.reference.ends_with('/') || arguments.reference.ends_with('\\');
  const bool path_wanted =
      reference.path && (!reference.path->volume.empty() || !reference.path->path.empty() || root_wanted);
  if (!path_wanted) return list_volumes(point, settings.json);
  return list_path(point, arguments, *reference.path, reading.session(), settings.json);
}

}  // namespace

void add_ls_command(CLI::App& app, Invocation& invocation) {
  auto arguments = std::make_shared<LsArguments>();
  CLI::App* command = app.add_subcommand("ls", "List a point's volumes, or the files in one");
  command->footer(
      "VOLUME is a label or DISK.PARTITION, as `vmferry ls NAME:` lists them; it may be left out where there is one.\n\n"
      "Examples:\n"
      "  vmferry ls web1:                       # the volumes\n"
      "  vmferry ls web1:/                      # the root of the only volume\n"
      "  vmferry ls web1:/Users/anna -r         # the newest point\n"
      "  vmferry ls web1@12:0.2/inetpub --json");
  command->add_option("reference", arguments->reference, "What to list")->required()->type_name("NAME[@POINT]:[VOLUME]/PATH");
  command->add_flag("-r,--recursive", arguments->recursive, "Everything below a directory");
  command->add_option("--at", arguments->at, "The newest point not after this local time")->type_name("'2026-11-22 04:00'");
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return run_ls_command(invocation.settings, *arguments); };
  });
}

}  // namespace vmferry::cli
