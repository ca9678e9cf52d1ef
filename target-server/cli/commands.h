// vmferry-target's command line: one file per command (cmd_*.cc). A command says what there is to print; only
// command_line.cc prints it, as text or as one JSON object, and turns an Error into a sentence and an exit code.
#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace vmferry::target_server {

struct Outcome {
  std::string text;     // for a person, lines
  std::string members;  // for --json: the members of the object, as JSON, without the outer braces
  int exit_code = 0;
};

struct Invocation {
  bool json = false;
  std::function<Outcome()> run;                           // of the command that was named
  std::function<void(const Outcome& outcome)> print_now;  // for a command that goes on after it has printed
  std::function<void(const std::string& line)> progress;  // shown on a terminal until the next one, and nowhere else
};

// Each adds its command to `app` and, when the command is named, sets invocation.run.
void add_init_command(CLI::App& app, Invocation& invocation);
void add_serve_command(CLI::App& app, Invocation& invocation);
void add_session_command(CLI::App& app, Invocation& invocation);
void add_status_command(CLI::App& app, Invocation& invocation);
void add_delete_command(CLI::App& app, Invocation& invocation);
void add_key_command(CLI::App& app, Invocation& invocation);
void add_client_command(CLI::App& app, Invocation& invocation);
void add_certificate_command(CLI::App& app, Invocation& invocation);
void add_push_command(CLI::App& app, Invocation& invocation);
void add_pull_command(CLI::App& app, Invocation& invocation);
void add_enroll_command(CLI::App& app, Invocation& invocation);

// The whole program; returns its exit code.
int run_command_line(int argc, const char* const* argv);

}  // namespace vmferry::target_server
