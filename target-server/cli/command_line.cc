#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>

#include "protocol/error.h"
#include "protocol/software.h"
#include "target-server/cli/commands.h"
#include "target-server/cli/json_members.h"

namespace vmferry::target_server {
namespace {

constexpr int usage_exit_code = 64;

void print(const Invocation& invocation, const Outcome& outcome) {
  if (invocation.json)
    std::cout << "{\"exit_code\":" << outcome.exit_code << (outcome.members.empty() ? "" : ",") << outcome.members
              << "}\n";
  else
    std::cout << outcome.text;
  std::cout.flush();
}

int print_failure(bool json, ErrorCode code, const std::string& message, const std::string& object = {}) {
  const int exit_code = exit_code_for(code);
  if (json) {
    nlohmann::ordered_json error = {{"error", {{"code", error_code_name(code)}, {"message", message}}}};
    if (!object.empty()) error["error"]["object"] = object;
    std::cout << "{\"exit_code\":" << exit_code << "," << json_members(error) << "}" << std::endl;
  } else {
    std::cerr << "vmferry-target: " << message << std::endl;
  }
  return exit_code;
}

// One line on standard error, where that is a terminal.
class ProgressLine {
 public:
  ~ProgressLine() { clear(); }
  void show(const std::string& line) {
    if (!terminal_) return;
    std::cerr << "\r\033[K" << line << std::flush;
    shown_ = true;
  }
  void clear() {
    if (shown_) std::cerr << "\r\033[K" << std::flush;
    shown_ = false;
  }

 private:
  const bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
};

bool asks_for_json(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i)
    if (std::string_view(argv[i]) == "--json") return true;
  return false;
}

}  // namespace

int run_command_line(int argc, const char* const* argv) {
  CLI::App app("vmferry-target keeps the backups that vmferry sends: a deduplicated store in a directory.",
               "vmferry-target");
  app.set_version_flag("--version", std::string("vmferry-target ") + software_version);
  app.require_subcommand(1);
  app.fallthrough();
  app.footer("Example:\n  vmferry-target init --store /backup/vmferry\n  vmferry-target serve --store /backup/vmferry");
  Invocation invocation;
  ProgressLine progress;
  invocation.print_now = [&](const Outcome& outcome) {
    progress.clear();
    print(invocation, outcome);
  };
  invocation.progress = [&](const std::string& line) {
    if (!invocation.json) progress.show(line);
  };
  app.add_flag("--json", invocation.json, "print one JSON object, on failure too");
  add_init_command(app, invocation);
  add_serve_command(app, invocation);
  add_session_command(app, invocation);
  add_status_command(app, invocation);
  add_delete_command(app, invocation);
  add_key_command(app, invocation);
  add_client_command(app, invocation);
  add_certificate_command(app, invocation);
  add_push_command(app, invocation);
  add_pull_command(app, invocation);
  add_enroll_command(app, invocation);

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    const bool json = asks_for_json(argc, argv);
    if (json) return print_failure(true, ErrorCode::usage, error.what());
    app.exit(error);
    return usage_exit_code;
  }
  try {
    const Outcome outcome = invocation.run();
    progress.clear();
    if (!outcome.text.empty() || !outcome.members.empty()) print(invocation, outcome);
    return outcome.exit_code;
  } catch (const Error& error) {
    progress.clear();
    return print_failure(invocation.json, error.code(), error.what(), error.object());
  } catch (const std::exception& error) {
    progress.clear();
    return print_failure(invocation.json, ErrorCode::failed, error.what());
  }
}

}  // namespace vmferry::target_server
