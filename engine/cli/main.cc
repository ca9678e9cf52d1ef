// vmferry: the controller's and the restoring host's command line.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <new>
#include <nlohmann/json.hpp>

#include "engine/cli/command.h"
#include "engine/cli/interrupts.h"
#include "engine/cli/output.h"
#include "engine/crack/cracker.h"
#include "protocol/error.h"
#include "protocol/software.h"

namespace vmferry::cli {
namespace {

void add_common_options(CLI::App& app, Settings& settings) {
  app.add_option("--target", settings.target, "tls://HOST[:PORT], ssh://[USER@]HOST[:PORT]/STORE, file:///DIR or unix:///SOCKET (or VMFERRY_TARGET, or the "
                 "configuration)")
      ->type_name("URL");
  app.add_option("--catalog", settings.catalog, "The controller's catalog (default " + default_catalog_file().string() + ")")
      ->type_name("FILE");
  app.add_option("--config", settings.config, "The configuration (default " + default_config_file().string() + ")")
      ->type_name("FILE");
  app.add_option("--progress", settings.progress, "auto, always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}));
  app.add_flag("-q,--quiet", settings.quiet, "Only errors and warnings");
  app.add_flag("-v,--verbose", settings.verbose, "Notes too");
  app.add_flag("--json", settings.json, "One JSON object on standard output, on failure too");
}

int fail(bool json, int exit_code, std::string_view code, const std::string& message, const std::string& object = {}) {
  if (json) {
    nlohmann::json error = {{"code", code}, {"message", message}};
    if (!object.empty()) error["object"] = object;
    return print_json({{"error", std::move(error)}}, exit_code);
  }
  std::fprintf(stderr, "vmferry: %s\n", printable(message).c_str());
  return exit_code;
}

int run(int argc, char** argv) {
  constexpr int exit_usage = 64;
  Invocation invocation;
  CLI::App app("Backs virtual machine disks up into a deduplicated store, and brings them back: the disk, a directory or "
               "a file.",
               "vmferry");
  app.set_version_flag("--version", software_name);
  app.require_subcommand(1);
  app.fallthrough();
  app.footer("`vmferry COMMAND --help` shows a command's options and an example. Exit codes: 0 done, 1 failed, 2 done with "
             "warnings,\n3 target unreachable or busy, 4 damage found, 64 usage.");
  add_common_options(app, invocation.settings);
  add_line_options(app, invocation.settings.line);
  add_backup_command(app, invocation);
  add_points_command(app, invocation);
  add_ls_command(app, invocation);
  add_restore_command(app, invocation);
  add_cat_command(app, invocation);
  add_verify_command(app, invocation);
  add_inspect_command(app, invocation);
  add_explain_command(app, invocation);
  add_bench_command(app, invocation);
  add_enroll_command(app, invocation);
  const bool json_asked = std::any_of(argv, argv + argc, [](const char* word) { return std::string_view(word) == "--json"; });
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    const std::string named = app.get_subcommands().empty() ? "" : " " + app.get_subcommands().front()->get_name();
    std::string what = error.what();
    if (named.empty() && !app.remaining().empty()) what = "there is no such command: " + app.remaining().front();
    return fail(json_asked, exit_usage, "usage", what + "; see `vmferry" + named + " --help`");
  }
  try {
    complete_settings(invocation.settings);
    return invocation.run();
  } catch (const Error& error) {
    return fail(json_asked, exit_code_for(error.code()), error_code_name(error.code()), error.what(), error.object());
  } catch (const std::bad_alloc&) {
    return fail(json_asked, 1, "failed", "out of memory");
  } catch (const std::exception& error) {
    return fail(json_asked, 1, "failed", error.what());
  }
}

}  // namespace
}  // namespace vmferry::cli

int main(int argc, char** argv) {
  // Frames and slabs come and go in several threads: an arena for each would keep what the others have freed.
  mallopt(M_ARENA_MAX, 4);
  mallopt(M_MMAP_THRESHOLD, (1 << 20) + 1);
  vmferry::crack::maybe_run_sandbox_child(argc, argv);
  vmferry::cli::take_signals();
  return vmferry::cli::run(argc, argv);
}
