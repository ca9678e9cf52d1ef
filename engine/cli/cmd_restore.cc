#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "engine/cli/command.h"
#include "engine/cli/interrupts.h"
#include "engine/cli/output.h"
#include "engine/cli/reference.h"
#include "protocol/error.h"

namespace vmferry::cli {
namespace {

struct RestoreArguments {
  std::string reference;
  std::string at;
  std::string output;
  std::string format = "same";
  std::string disk;
  bool force = false;
  bool keep_going = false;
  bool resume = false;
};

std::optional<disk::OutputFormat> output_format(const std::string& name) {
  if (name == "flat") return disk::OutputFormat::flat;
  if (name == "sparse") return disk::OutputFormat::sparse;
  if (name == "stream") return disk::OutputFormat::stream;
  if (name == "raw") return disk::OutputFormat::raw;
  return std::nullopt;
}

restore::RestoreResult restore_what_is_named(const RestoreArguments& arguments, const Reference& reference,
                                             const RestorePoint& point, const Settings& settings,
                                             target::TargetSession& session) {
  RestoreProgress progress(settings);
  restore::RestoreOptions common = restore_options(settings);
  common.force = arguments.force;
  common.keep_going = arguments.keep_going;
  if (reference.path) {
    if (!arguments.disk.empty() || arguments.format != "same")
      throw Error(ErrorCode::usage, "--disk and --format are for whole disks", arguments.reference);
    if (arguments.resume)
      throw Error(ErrorCode::usage, "--resume is for whole disks and machines", arguments.reference,
                  "--force restores files into what is there");
    return restore::restore_files(point, *reference.path, arguments.output, common, session, progress, cancelled());
  }
  restore::DiskRestoreOptions options;
  static_cast<restore::RestoreOptions&>(options) = common;
  options.format = output_format(arguments.format);
  options.resume = arguments.resume;
  if (!arguments.disk.empty()) options.disk = arguments.disk;
  return restore::restore_machine(point, arguments.output, options, session, progress, cancelled());
}

int run_restore_command(const Settings& settings, const RestoreArguments& arguments) {
  const Reference reference = parse_reference(arguments.reference, arguments.at);
  const Reading reading = open_for_reading(settings);
  const RestorePoint point = resolve_point(reference.point, reading.session(), reading.own_client);
  const restore::RestoreResult result = restore_what_is_named(arguments, reference, point, settings, reading.session());
  const int exit_code = result.damaged ? exit_damage : result.warnings.empty() ? exit_done : exit_warnings;
  if (settings.json) {
    auto outputs = nlohmann::json::array();
    for (const auto& output : result.outputs) outputs.push_back(output.string());
    return print_json({{"name", point.machine_name},
                       {"point", point.number},
                       {"id", to_hex(point.uuid.view())},
                       {"outputs", outputs},
                       {"files", result.files},
                       {"directories", result.directories},
                       {"written_bytes", result.written_bytes},
                       {"reused_bytes", result.reused_bytes},
                       {"received_bytes", result.received_bytes},
                       {"elapsed_ms", result.elapsed_ms},
                       {"warnings", to_json(result.warnings)},
                       {"notes", result.notes}},
                      exit_code);
  }
  if (!settings.quiet) {
    const std::string kept = result.reused_bytes > 0 ? human_bytes(result.reused_bytes) + " were there already, " : "";
    std::printf("%s point %llu of %s: %s%s written, %s received, %s\n", printable(point.machine_name).c_str(),
                static_cast<unsigned long long>(point.number), local_time_ms(point.taken_ms).c_str(), kept.c_str(),
                human_bytes(result.written_bytes).c_str(), human_bytes(result.received_bytes).c_str(),
                human_duration_ms(result.elapsed_ms).c_str());
    for (const auto& output : result.outputs) std::printf("  %s\n", printable(output.string()).c_str());
    if (reference.path)
      std::printf("  %s %s, %s %s\n", human_count(result.files).c_str(), result.files == 1 ? "file" : "files",
                  human_count(result.directories).c_str(), result.directories == 1 ? "directory" : "directories");
  }
  print_warnings(result.warnings);
  if (!settings.quiet) print_notes(result.notes);
  return exit_code;
}

}  // namespace

void add_restore_command(CLI::App& app, Invocation& invocation) {
  auto arguments = std::make_shared<RestoreArguments>();
  CLI::App* command = app.add_subcommand("restore", "Restore a machine, a disk, a directory or a file");
  command->footer(
      "Nothing is overwritten without --force. What is not complete is named .partial: the same command with --resume\n"
      "goes on there, and fetches only what is missing or wrong in it.\n\n"
      "Examples:\n"
      "  vmferry restore web1 --output /vmfs/web1-restored          # a .vmx machine: a directory\n"
      "  vmferry restore disk1@12 --output disk1.vmdk --format sparse\n"
      "  vmferry restore web1:/Users/anna/Documents --output /tmp/back\n"
      "  vmferry restore web1:/inetpub --at '2026-11-22 04:00' --output .");
  command->add_option("reference", arguments->reference, "What to restore")
      ->required()
      ->type_name("NAME[@POINT][:[VOLUME]/PATH]");
  command->add_option("-o,--output", arguments->output, "Where to write it")->required()->type_name("OUT");
  command->add_option("--format", arguments->format, "same as it was, flat, sparse or stream VMDK, or raw")
      ->check(CLI::IsMember({"same", "flat", "sparse", "stream", "raw"}));
  command->add_option("--disk", arguments->disk, "Only this disk of the machine: OUT is its file")->type_name("scsi0:1");
  command->add_option("--at", arguments->at, "The newest point not after this local time")->type_name("'2026-11-22 04:00'");
  command->add_flag("--force", arguments->force, "Overwrite what is there (never a disk in use)");
  command->add_flag("--resume", arguments->resume,
                    "Go on with an interrupted restore of a disk or machine to the same OUT (raw, flat; other formats begin "
                    "anew)");
  command->add_flag("--keep-going", arguments->keep_going, "Go on after what cannot be restored, and name it");
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return run_restore_command(invocation.settings, *arguments); };
  });
}

}  // namespace vmferry::cli
