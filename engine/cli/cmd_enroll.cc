#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/catalog/catalog.h"
#include "engine/cli/command.h"
#include "engine/cli/output.h"
#include "protocol/error.h"
#include "protocol/session/enrolment.h"

namespace vmferry::cli {
namespace {

constexpr std::size_t line_bytes_max = 4096;

struct EnrollArguments {
  std::string input;
  bool replace = false;
};

// From standard input only: a command line is seen by every user of the host, and kept in histories.
std::string line_of_standard_input() {
  if (isatty(STDIN_FILENO) != 0) std::fputs("Paste the line that `vmferry-target client add` printed:\n", stderr);
  std::string line;
  for (int c = std::getchar(); c != EOF && c != '\n' && line.size() < line_bytes_max; c = std::getchar())
    line += static_cast<char>(c);
  return line;
}

int run_enroll_command(const Settings& settings, const EnrollArguments& arguments) {
  if (arguments.input != "-")
    throw Error(ErrorCode::usage, "the enrolment line is read from standard input", {},
                "run `vmferry enroll -` and paste it: a command line can be read by others");
  const target::EnrolmentLine line = target::parse_enrolment_line(line_of_standard_input());
  const auto identity = catalog::Catalog::open(settings.catalog)->client();
  const auto directory = settings.line.enrolments.empty() ? target::default_enrolments_directory() : settings.line.enrolments;
  const target::Enrolment enrolment =
      target::enroll(line, {identity.uuid, identity.name}, directory, arguments.replace);
  const std::string url = "tls://" + to_string(enrolment.address);
  if (settings.json)
    return print_json({{"target", url},
                       {"client", enrolment.client},
                       {"roles", enrolment.roles},
                       {"server_key", enrolment.server.to_string()},
                       {"key", fingerprint_of(enrolment.identity).to_string()},
                       {"store_uuid", enrolment.store_uuid.to_string()}},
                      exit_done);
  if (!settings.quiet)
    std::printf("Enrolled at %s as %s (%s).\nThe target's key is %s.\nBack up to it:  vmferry backup DISK.vmdk --target %s\n",
                url.c_str(), printable(enrolment.client).c_str(), printable(enrolment.roles).c_str(),
                enrolment.server.to_string().c_str(), url.c_str());
  return exit_done;
}

}  // namespace

void add_enroll_command(CLI::App& app, Invocation& invocation) {
  auto arguments = std::make_shared<EnrollArguments>();
  CLI::App* command = app.add_subcommand("enroll", "Make this host known to a target that listens for TLS");
  command->footer(
      "On the target: vmferry-target client add NAME --role sender,reader --store DIR\n"
      "It prints a line, good once and for an hour. Here:\n  vmferry enroll -        # and paste the line");
  command->add_option("input", arguments->input, "-: the line is read from standard input")->required()->type_name("-");
  command->add_flag("--replace", arguments->replace, "Forget what was enrolled at this address before");
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return run_enroll_command(invocation.settings, *arguments); };
  });
}

}  // namespace vmferry::cli
