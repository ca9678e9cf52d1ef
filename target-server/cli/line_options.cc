#include "target-server/cli/line_options.h"

#include <CLI/CLI.hpp>

#include "protocol/session/enrolment.h"
#include "target-server/serve/log.h"

namespace vmferry::target_server {

void add_line_options(CLI::App& command, LineArguments& arguments) {
  constexpr const char* group = "Options for tls:// and ssh:// stores";
  command
      .add_option("--enrolments", arguments.enrolments,
                  "what `enroll` keeps of other targets; default " + target::default_enrolments_directory().string())
      ->type_name("DIR")
      ->group(group);
  command.add_option("--ssh-command", arguments.ssh_command, "the program that connects: 'ssh -J jump'")
      ->type_name("COMMAND")
      ->group(group);
  command.add_option("--ssh-key", arguments.ssh_keys, "a key file")->type_name("FILE")->group(group);
  command.add_option("--known-hosts", arguments.known_hosts, "instead of ~/.ssh/known_hosts")->type_name("FILE")->group(group);
  command.add_option("--retry-for", arguments.retry_for_seconds, "how long to dial again after the line broke (1800)")
      ->check(CLI::NonNegativeNumber)
      ->type_name("SECONDS")
      ->group(group);
}

target::DialOptions dial_options(const LineArguments& arguments) {
  target::DialOptions options;
  options.enrolments = arguments.enrolments;
  options.ssh_command = arguments.ssh_command;
  options.ssh.key_files = arguments.ssh_keys;
  options.ssh.known_hosts = arguments.known_hosts;
  options.link.patience = std::chrono::seconds(arguments.retry_for_seconds);
  options.link.note = log_line;
  return options;
}

}  // namespace vmferry::target_server
