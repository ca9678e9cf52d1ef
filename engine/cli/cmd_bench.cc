#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/cli/bench_page.h"
#include "engine/cli/bench_report.h"
#include "engine/cli/command.h"
#include "engine/cli/interrupts.h"
#include "engine/cli/output.h"
#include "protocol/error.h"

namespace vmferry::cli {
namespace {

struct BenchArguments {
  std::vector<std::string> paths;
  std::vector<std::string> links;
  std::string html;
  std::uint32_t block_bytes = delta::SignatureParameters{}.block_bytes;
};

class BenchProgress final : public measure::NightEvents {
 public:
  explicit BenchProgress(const Settings& settings) : progress_(settings) {}
  void phase(const std::string& name) override { progress_.phase(name); }
  void progress(std::uint64_t read, std::uint64_t total, std::uint64_t sent) override {
    progress_.update(read, total, sent);
  }

 private:
  Progress progress_;
};

// Found out now, and not after an hour of measuring.
void check_writable_place(const std::filesystem::path& file) {
  std::error_code failed;
  if (!std::filesystem::is_directory(std::filesystem::absolute(file).parent_path(), failed))
    throw Error(ErrorCode::not_found, "there is no such directory for the page", file.string());
}

void write_page(const std::filesystem::path& file, const std::string& page) {
  std::filesystem::path partial = file;
  partial += ".partial";
  std::ofstream out(partial, std::ios::binary | std::ios::trunc);
  out << page;
  out.close();
  if (!out) throw system_error(errno, "cannot write the page", partial.string());
  std::error_code failed;
  std::filesystem::rename(partial, file, failed);
  if (failed) throw system_error(failed.value(), "cannot name the page", file.string());
}

int run_bench_command(const Settings& settings, const BenchArguments& arguments) {
  BenchResult result;
  for (const std::string& text : arguments.links) result.links.push_back(measure::parse_link(text));
  if (result.links.empty()) result.links = measure::default_links();
  if (!arguments.html.empty()) check_writable_place(arguments.html);

  measure::NightOptions options;
  options.compression = settings.compression;
  // There is no line here that stronger compression could relieve.
  if (options.compression.automatic) options.compression = {false, 3};
  options.signing.block_bytes = arguments.block_bytes;
  options.spool_directory = settings.spool_directory;
  result.compression_level = options.compression.level;
  result.block_bytes = arguments.block_bytes;
  {
    BenchProgress progress(settings);
    result.nights =
        measure::measure_nights({arguments.paths.begin(), arguments.paths.end()}, options, progress, cancelled());
  }
  if (!arguments.html.empty()) write_page(arguments.html, bench_page(result));

  bool warned = false;
  for (const measure::Night& night : result.nights) warned = warned || !night.report.warnings.empty();
  const int exit_code = warned ? exit_warnings : exit_done;
  if (settings.json) return print_json(bench_json(result), exit_code);
  std::fputs(bench_text(result).c_str(), stdout);
  for (const measure::Night& night : result.nights) {
    print_warnings(night.report.warnings);
    print_notes(night.notes);
    if (settings.verbose) print_notes(night.report.notes);
  }
  if (settings.verbose) print_notes({what_is_counted(result)});
  return exit_code;
}

}  // namespace

void add_bench_command(CLI::App& app, Invocation& invocation) {
  auto arguments = std::make_shared<BenchArguments>();
  CLI::App* command =
      app.add_subcommand("bench", "Say what each night would send and how long it would take; stores nothing");
  command->footer(
      "Runs the real backup of each disk to a target that keeps no content, and compares it with a plain copy, with\n"
      "rsync's algorithm and with compressed chunks. The disks are only ever read; no store, no catalog is touched.\n\n"
      "Examples:\n"
      "  vmferry bench monday.vmdk tuesday.vmdk\n"
      "  vmferry bench monday.vmdk tuesday.vmdk --link 10mbit,80ms --link 200mbit,20ms --html nights.html");
  command
      ->add_option("path", arguments->paths,
                   "A VMDK, a raw image or a machine's .vmx; then later states of the same machine")
      ->required()
      ->type_name("DISK.vmdk [LATER.vmdk ...]");
  command
      ->add_option("--link", arguments->links,
                   "A line's rate and round trip; may be given again (default 10mbit,80ms 100mbit,40ms 1gbit,5ms)")
      ->type_name("10mbit,80ms")
      ->allow_extra_args(false);
  command->add_option("--html", arguments->html, "Write a page with plots too")->type_name("FILE");
  command
      ->add_option("--compression", invocation.settings.compression_text,
                   "A zstd level from 1 to 19; auto: level 3 (over a real slow line, auto compresses harder than that)")
      ->type_name("auto|1..19");
  command->add_option("--block-size", arguments->block_bytes, "The signatures' blocks, in bytes (default 512)")
      ->check(CLI::Range(64, 65536))
      ->type_name("N");
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return run_bench_command(invocation.settings, *arguments); };
  });
}

}  // namespace vmferry::cli
