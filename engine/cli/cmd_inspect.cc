#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "engine/backup/layout.h"
#include "engine/backup/source.h"
#include "engine/cli/command.h"
#include "engine/cli/output.h"
#include "engine/cli/progress.h"

namespace vmferry::cli {
namespace {

struct InspectArguments {
  std::string path;
  std::string source = "auto";
};

struct InspectedDisk {
  const backup::SourceDisk* disk;
  std::unique_ptr<backup::DiskLayout> layout;
};

std::string volume_name(std::size_t disk_index, const backup::LayoutVolume& volume) {
  return std::to_string(disk_index) + "." + std::to_string(volume.partition.number);
}

std::vector<InspectedDisk> inspect_disks(const backup::Source& source, const Settings& settings) {
  Progress progress(settings);
  progress.phase("reading the file systems");
  backup::LayoutOptions options;
  options.spool_directory = settings.spool_directory;
  options.suspended = source.suspended();
  const auto build = [&] {
    std::vector<InspectedDisk> disks;
    for (const backup::SourceDisk& disk : source.disks())
      disks.push_back({&disk, backup::DiskLayout::build(*disk.disk, options, disk.key)});
    return disks;
  };
  auto disks = build();
  // One hibernated volume keeps everything on every disk.
  const bool hibernated = std::any_of(disks.begin(), disks.end(), [](const auto& disk) { return disk.layout->hibernated(); });
  if (hibernated && disks.size() > 1 && !options.suspended) {
    options.suspended = true;
    disks = build();
  }
  return disks;
}

nlohmann::json json_of(const KindBytes& bytes) {
  return {{"data_bytes", bytes.data}, {"free_bytes", bytes.free}, {"excluded_bytes", bytes.excluded}, {"hole_bytes", bytes.hole}};
}

nlohmann::json json_of(std::size_t index, const InspectedDisk& inspected) {
  const disk::DiskDescription& description = inspected.disk->disk->description();
  auto volumes = nlohmann::json::array();
  for (const backup::LayoutVolume& volume : inspected.layout->volumes()) {
    nlohmann::json row = json_of(volume.bytes);
    row.update({{"volume", volume_name(index, volume)},
                {"offset", volume.partition.range.offset},
                {"bytes", volume.partition.range.length},
                {"type", volume.partition.type},
                {"file_system", volume.partition.signature},
                {"cracked", volume.cracked}});
    if (volume.cracked)
      row.update({{"label", volume.facts.label},
                  {"cluster_bytes", volume.facts.cluster_bytes},
                  {"used_bytes", volume.used_bytes},
                  {"files", volume.totals.files},
                  {"directories", volume.totals.directories},
                  {"pagefile_bytes", volume.pagefile_bytes},
                  {"hiberfil_bytes", volume.hiberfil_bytes},
                  {"flags", volume.flags}});
    volumes.push_back(row);
  }
  nlohmann::json object = json_of(inspected.layout->bytes());
  object.update({{"disk", inspected.disk->key},
                 {"file_name", inspected.disk->file_name},
                 {"format", description.format},
                 {"uuid", description.uuid.is_none() ? "" : description.uuid.to_string()},
                 {"adapter_type", description.adapter_type},
                 {"disk_bytes", inspected.disk->disk->size_bytes()},
                 {"volumes", volumes}});
  return object;
}

void print_disk(std::size_t index, const InspectedDisk& inspected) {
  const KindBytes& bytes = inspected.layout->bytes();
  std::printf("%s: %s, %s, %s\n", inspected.disk->key.c_str(), printable(inspected.disk->file_name).c_str(),
              inspected.disk->disk->description().format.c_str(),
              human_bytes(inspected.disk->disk->size_bytes()).c_str());
  Table table({"VOLUME", "LABEL", "TYPE", "SIZE", "USED", "FILES", "BACKED UP", "LEFT OUT"}, {3, 4, 5, 6, 7});
  for (const backup::LayoutVolume& volume : inspected.layout->volumes())
    table.row({volume_name(index, volume), printable(volume.facts.label),
               volume.partition.signature.empty() ? printable(volume.partition.type) : volume.partition.signature,
               human_bytes(volume.partition.range.length), volume.cracked ? human_bytes(volume.used_bytes) : "?",
               volume.cracked ? human_count(volume.totals.files) : "opaque", human_bytes(volume.bytes.data),
               human_bytes(volume.bytes.free + volume.bytes.excluded + volume.bytes.hole)});
  std::fputs(table.text().c_str(), stdout);
  std::printf("a backup reads %s and leaves out: free %s, pagefile and hiberfil %s, never written %s\n",
              human_bytes(bytes.data).c_str(), human_bytes(bytes.free).c_str(), human_bytes(bytes.excluded).c_str(),
              human_bytes(bytes.hole).c_str());
}

int run_inspect_command(const Settings& settings, const InspectArguments& arguments) {
  backup::SourceOptions source_options;
  if (arguments.source == "off") source_options.mode = backup::SourceMode::off;
  if (arguments.source == "frozen") source_options.mode = backup::SourceMode::frozen;
  const backup::Source source = backup::Source::open(arguments.path, source_options);
  const auto disks = inspect_disks(source, settings);
  std::vector<Warning> warnings;
  std::vector<std::string> notes = source.notes();
  for (const InspectedDisk& disk : disks) {
    warnings.insert(warnings.end(), disk.layout->warnings().begin(), disk.layout->warnings().end());
    notes.insert(notes.end(), disk.layout->notes().begin(), disk.layout->notes().end());
  }
  const int exit_code = warnings.empty() ? exit_done : exit_warnings;
  if (settings.json) {
    auto list = nlohmann::json::array();
    for (std::size_t i = 0; i < disks.size(); ++i) list.push_back(json_of(i, disks[i]));
    return print_json({{"name", source.default_name()},
                       {"source", source_name(source.kind())},
                       {"suspended", source.suspended()},
                       {"disks", list},
                       {"warnings", to_json(warnings)},
                       {"notes", notes}},
                      exit_code);
  }
  for (std::size_t i = 0; i < disks.size(); ++i) print_disk(i, disks[i]);
  print_warnings(warnings);
  print_notes(notes);
  return exit_code;
}

}  // namespace

void add_inspect_command(CLI::App& app, Invocation& invocation) {
  auto arguments = std::make_shared<InspectArguments>();
  CLI::App* command = app.add_subcommand("inspect", "Say what is in a disk and what a backup would leave out");
  command->footer("No target is needed. The disk is only ever read.\n\nExample:\n  vmferry inspect disk.vmdk");
  command->add_option("path", arguments->path, "A VMDK, a raw image or a machine's .vmx")
      ->required()
      ->type_name("DISK.vmdk|MACHINE.vmx");
  command->add_option("--source", arguments->source, "As of backup")->check(CLI::IsMember({"auto", "off", "frozen"}));
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return run_inspect_command(invocation.settings, *arguments); };
  });
}

}  // namespace vmferry::cli
