#include <CLI/CLI.hpp>
#include <chrono>
#include <future>
#include <nlohmann/json.hpp>

#include "engine/backup/backup_job.h"
#include "engine/catalog/catalog.h"
#include "engine/cli/command.h"
#include "engine/cli/interrupts.h"
#include "engine/cli/output.h"
#include "engine/cli/traffic_view.h"
#include "protocol/error.h"

namespace vmferry::cli {
namespace {

constexpr int sessions_max = 100;  // of one backup

struct BackupArguments {
  std::string path;
  std::string name;
  std::string source = "auto";
  bool exact = false;
  std::vector<std::string> keep;
  std::vector<std::string> disks, skip_disks;
  bool adopt = false;
  bool no_delta = false;
};

class BackupProgress final : public backup::BackupEvents {
 public:
  explicit BackupProgress(const Settings& settings) : progress_(settings) {}
  void phase(const std::string& name) override { progress_.phase(name); }
  void progress(std::uint64_t read, std::uint64_t total, std::uint64_t sent) override {
    progress_.update(read, total, sent);
  }

 private:
  Progress progress_;
};

backup::SourceOptions source_options(const BackupArguments& arguments) {
  backup::SourceOptions options;
  if (arguments.source == "off") options.mode = backup::SourceMode::off;
  if (arguments.source == "frozen") options.mode = backup::SourceMode::frozen;
  options.only_disks = arguments.disks;
  options.skip_disks = arguments.skip_disks;
  return options;
}

backup::KeepOptions keep_options(const BackupArguments& arguments) {
  backup::KeepOptions keep;
  keep.exact = arguments.exact;
  for (const std::string& kind : arguments.keep) {
    keep.free = keep.free || kind == "free";
    keep.pagefile = keep.pagefile || kind == "pagefile";
    keep.hiberfil = keep.hiberfil || kind == "hiberfil";
  }
  return keep;
}

KindBytes total_of(const RestorePoint& point) {
  KindBytes total;
  for (const PointDisk& disk : point.disks) {
    total.data += disk.bytes.data;
    total.free += disk.bytes.free;
    total.excluded += disk.bytes.excluded;
    total.hole += disk.bytes.hole;
  }
  return total;
}

nlohmann::json json_of(const RestorePoint& point) {
  const BackupReport& report = point.report;
  const KindBytes bytes = total_of(point);
  nlohmann::json object = to_json(report);
  object.update({{"name", point.machine_name},
                 {"point", point.number},
                 {"id", to_hex(point.uuid.view())},
                 {"machine_uuid", point.machine_uuid.to_string()},
                 {"source", source_name(point.source)},
                 {"disks", point.disks.size()},
                 {"disk_bytes", report.disk_bytes},
                 {"data_bytes", bytes.data},
                 {"free_bytes", bytes.free},
                 {"excluded_bytes", bytes.excluded},
                 {"hole_bytes", bytes.hole},
                 {"whole_again_chunks", report.whole_again_chunks},
                 {"sent_bytes", report.sent_bytes},
                 {"received_bytes", report.received_bytes},
                 {"stored_bytes", report.stored_bytes},
                 {"elapsed_ms", report.elapsed_ms},
                 {"taken", utc_time_ms(point.taken_ms)},
                 {"notes", report.notes}});
  return object;
}

void print_for_a_person(const RestorePoint& point) {
  const BackupReport& report = point.report;
  const KindBytes bytes = total_of(point);
  std::printf("%s: point %llu (%s), taken %s, %s\n", printable(point.machine_name).c_str(),
              static_cast<unsigned long long>(point.number), short_id(point.uuid).c_str(),
              local_time_ms(point.taken_ms).c_str(), std::string(source_name(point.source)).c_str());
  const auto row = [](const char* what, std::uint64_t size, const std::string& more) {
    std::printf("  %-9s %10s  %s\n", what, human_bytes(size).c_str(), more.c_str());
  };
  row("disk", report.disk_bytes,
      human_count(point.disks.size()) + (point.disks.size() == 1 ? " disk, " : " disks, ") + human_count(report.files) +
          " files");
  row("left out", bytes.free + bytes.excluded + bytes.hole,
      "free " + human_bytes(bytes.free) + ", pagefile and hiberfil " + human_bytes(bytes.excluded) + ", never written " +
          human_bytes(bytes.hole));
  row("data", bytes.data, "in " + human_count(report.chunks) + " chunks");
  row("new", report.new_bytes, "in " + human_count(report.new_chunks) + " chunks that the target did not have");
  row("sent", report.sent_bytes,
      "received " + human_bytes(report.received_bytes) + ", the store grew by " + human_bytes(report.stored_bytes));
}

// The point is safe: a catalog that cannot be read only leaves a part of the report out.
std::optional<catalog::PointTraffic> traffic_in(catalog::Catalog& catalog, const Uuid& point) {
  try {
    return catalog.traffic(point);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// A connection that is being made while the file systems are read: both take their time, and neither needs the other.
// Its end is waited for in any case, and what was made is closed.
class Connecting {
 public:
  // patience: how long to try where the target cannot be reached.
  using Connect = std::function<std::unique_ptr<TargetConnection>(std::chrono::milliseconds patience)>;
  explicit Connecting(Connect connect)
      : connect_(std::move(connect)), made_(std::async(std::launch::async, connect_, std::chrono::milliseconds(0))) {}

  // Both throw what connecting threw; look() where that is known by then.
  void look(std::chrono::milliseconds wait) {
    if (!connection_ && made_.wait_for(wait) == std::future_status::ready) connection_ = made_.get();
  }
  TargetConnection& get() {
    if (!connection_) connection_ = made_.get();
    return *connection_;
  }
  TargetConnection& again(std::chrono::milliseconds patience) {
    connection_.reset();
    connection_ = connect_(patience);
    return *connection_;
  }

 private:
  const Connect connect_;
  std::future<std::unique_ptr<TargetConnection>> made_;
  std::unique_ptr<TargetConnection> connection_;
};

// In as many sessions as it takes: where the target's process went away, what had arrived counts in the next one. A
// session that ends before its backup has sent anything new is no reason to try for ever.
RestorePoint run_in_sessions(backup::BackupJob& job, Connecting& target, const Settings& settings) {
  target::TargetSession* session = &target.get().session();
  for (int sessions = 1;; ++sessions) {
    try {
      return job.run(*session);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::unreachable || !target::is_remote(settings.target) || cancelled() ||
          settings.line.retry_for.count() == 0 || sessions == sessions_max)
        throw;
      print_line_note(std::string(error.what()) + ": opening another session");
    }
    session = &target.again(settings.line.retry_for).session();
  }
}

int run_backup_command(const Settings& settings, const BackupArguments& arguments) {
  const backup::Source source = backup::Source::open(arguments.path, source_options(arguments));
  const auto catalog = catalog::Catalog::open(settings.catalog);
  const catalog::ClientIdentity client = catalog->client();

  backup::BackupOptions options;
  options.name = arguments.name;
  options.keep = keep_options(arguments);
  options.adopt = arguments.adopt;
  options.compression = settings.compression;
  // There is no line that stronger compression could relieve: the store's disk is in this host, and a unix socket is as fast.
  if (options.compression.automatic && !target::is_remote(settings.target)) options.compression = {false, 3};
  options.spool_directory = settings.spool_directory;
  catalog::SignatureStore signatures(catalog::SignatureStore::file_beside(settings.catalog),
                                     settings.signature_budget_bytes);
  options.signatures = &signatures;
  options.deltas = !arguments.no_delta;
  RestorePoint point;
  {
    BackupProgress progress(settings);
    backup::BackupJob job(source, options, *catalog, progress, cancelled());
    const std::optional<target::BackupOpening> early = job.early_opening();
    Connecting target([&](std::chrono::milliseconds patience) {
      return connect_target(settings, {client.uuid, client.name}, Access::write, patience, early);
    });
    // A store that is not there, or a URL that is none, is told before the disks are read.
    target.look(target::is_remote(settings.target) ? std::chrono::milliseconds(50) : std::chrono::minutes(1));
    job.prepare([&] { target.look(std::chrono::milliseconds(0)); });
    point = run_in_sessions(job, target, settings);
  }
  const int exit_code = point.report.warnings.empty() ? exit_done : exit_warnings;
  const auto traffic = traffic_in(*catalog, point.uuid);
  if (settings.json) {
    nlohmann::json object = json_of(point);
    if (traffic) object["traffic"] = traffic_json(*traffic, traffic_lines_default);
    return print_json(std::move(object), exit_code);
  }
  if (!settings.quiet) {
    print_for_a_person(point);
    if (traffic) std::fputs(traffic_summary(*traffic).c_str(), stdout);
    std::printf("  took %s\n", human_duration_ms(point.report.elapsed_ms).c_str());
  }
  print_warnings(point.report.warnings);
  if (settings.verbose) print_notes(point.report.notes);
  return exit_code;
}

}  // namespace

void add_backup_command(CLI::App& app, Invocation& invocation) {
  auto arguments = std::make_shared<BackupArguments>();
  CLI::App* command = app.add_subcommand("backup", "Back a disk or a machine up");
  command->footer(
      "Free clusters, pagefile.sys, swapfile.sys and hiberfil.sys are left out and read as zeros after a restore.\n"
      "The disk is only ever read. A running machine wants a snapshot first.\n\n"
      "Examples:\n"
      "  vmferry backup /vmfs/web1/web1.vmx --target file:///backup/store\n"
      "  vmferry backup disk.vmdk --name web1 --exact --json");
  command->add_option("path", arguments->path, "A VMDK, a raw image or a machine's .vmx")
      ->required()
      ->type_name("DISK.vmdk|MACHINE.vmx");
  command->add_option("--name", arguments->name, "The machine's name (default: displayName, or the file's name)")
      ->type_name("NAME");
  command->add_option("--source", arguments->source,
                      "off: nothing uses the disks; frozen: read the newest snapshot's parents; auto: off, or frozen where a "
                      "disk is locked")
      ->check(CLI::IsMember({"auto", "off", "frozen"}));
  command->add_flag("--exact", arguments->exact, "Leave nothing out");
  command->add_option("--keep", arguments->keep, "Kinds that are not left out: free, pagefile, hiberfil")
      ->delimiter(',')
      ->check(CLI::IsMember({"free", "pagefile", "hiberfil"}));
  auto* only = command->add_option("--disk", arguments->disks, "Only this disk of the machine")->type_name("scsi0:1");
  command->add_option("--skip-disk", arguments->skip_disks, "All but this disk")->type_name("scsi0:1")->excludes(only);
  command
      ->add_option("--compression", invocation.settings.compression_text,
                   "auto (the strongest that still fills the line; level 3 where there is no line), or a level from 1 to 19")
      ->type_name("auto|1..19");
  command->add_flag("--no-delta", arguments->no_delta, "Send changed chunks whole, for comparison");
  command->add_flag("--adopt", arguments->adopt, "Take a name over from another machine or disk");
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return run_backup_command(invocation.settings, *arguments); };
  });
}

}  // namespace vmferry::cli
