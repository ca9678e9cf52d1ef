#include "engine/cli/line_settings.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <mutex>

#include "engine/cli/output.h"
#include "engine/cli/rate_schedule.h"
#include "protocol/error.h"
#include "protocol/session/enrolment.h"

namespace vmferry::cli {
namespace {

constexpr unsigned connections_default = 4;
constexpr unsigned connections_max = 16;

}  // namespace

void add_line_options(CLI::App& app, LineSettings& settings) {
  constexpr const char* group = "Options for tls:// and ssh:// targets";
  app.add_option("--ssh-command", settings.ssh_command,
                 "The program that connects, for what the built-in SSH lacks: 'ssh -J jump'")
      ->type_name("COMMAND")
      ->group(group);
  app.add_option("--ssh-key", settings.ssh_keys, "A key file; by default the agent's keys, then ~/.ssh/id_ed25519 and id_ecdsa")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--known-hosts", settings.known_hosts, "Instead of ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--enrolments", settings.enrolments, "Where `vmferry enroll` keeps what it knows of targets (default " +
                                                          target::default_enrolments_directory().string() + ")")
      ->type_name("DIR")
      ->group(group);
  app.add_option("--retry-for", settings.retry_for_text,
                 "How long to dial again after the line broke: 45s, 30m, 12h, 2d (default 30m); 0s: not at all")
      ->type_name("TIME")
      ->group(group);
  app.add_option("--connections", settings.connections, "Connections at most that carry one session (default 4)")
      ->check(CLI::Range(1u, connections_max))
      ->type_name("N")
      ->group(group);
  app.add_option("--bwlimit", settings.bwlimit_text,
                 "At most so much a second, instead of the configuration's [bandwidth]: 20mbit, 2.5MiB, unlimited")
      ->type_name("RATE")
      ->group(group);
  app.add_option("--dscp", settings.dscp, "Mark what is sent with this DSCP, 0 to 63 (8: background)")
      ->check(CLI::Range(0u, 63u))
      ->type_name("N")
      ->group(group);
}

void complete_line_settings(LineSettings& settings) {
  if (!settings.retry_for_text.empty())
    settings.retry_for = std::chrono::milliseconds(parse_age_ms(settings.retry_for_text));
  if (!settings.bwlimit_text.empty()) parse_rate(settings.bwlimit_text);
  if (settings.connections == 0) settings.connections = connections_default;
  if (settings.connections > connections_max)
    throw Error(ErrorCode::usage, "a wrong number of connections", std::to_string(settings.connections), "1 to 16");
  if (settings.dscp && *settings.dscp > 63)
    throw Error(ErrorCode::usage, "not a DSCP", std::to_string(*settings.dscp), "0 to 63");
}

target::DialOptions dial_options(const LineSettings& settings, std::function<void(const std::string&)> note) {
  target::DialOptions options;
  options.enrolments = settings.enrolments;
  options.ssh_command = settings.ssh_command;
  options.ssh.key_files = settings.ssh_keys;
  options.ssh.known_hosts = settings.known_hosts;
  options.dscp = settings.dscp;
  options.link.lines_max = settings.connections;
  options.link.patience = settings.retry_for;
  options.link.note = std::move(note);
  return options;
}

void print_line_note(const std::string& sentence) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  std::fprintf(stderr, "%svmferry: %s\n", isatty(STDERR_FILENO) != 0 ? "\r\x1b[K" : "", printable(sentence).c_str());
}

}  // namespace vmferry::cli
