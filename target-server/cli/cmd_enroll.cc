#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "protocol/error.h"
#include "protocol/session/enrolment.h"
#include "target-server/cli/commands.h"
#include "target-server/cli/json_members.h"
#include "target-server/cli/line_options.h"
#include "target-server/replicate/stores.h"
#include "target-server/store/about_file.h"

namespace vmferry::target_server {
namespace {

struct EnrollArguments {
  std::string store, input;
  LineArguments line;
  bool replace = false;
};

// As `vmferry enroll` does, but who enrols is the store.
Outcome enroll(const EnrollArguments& arguments) {
  if (arguments.input != "-")
    throw Error(ErrorCode::usage, "the enrolment line is read from standard input", {},
                "run `vmferry-target enroll -` and paste it: a command line can be read by others");
  const store::AboutStore about = store::read_about(arguments.store);
  if (::isatty(STDIN_FILENO) != 0) std::cerr << "Paste the line that `vmferry-target client add` printed there:" << std::endl;
  std::string line;
  std::getline(std::cin, line);
  const target::ClientFacts facts{about.store, host_name(), target::ClientRole::replica};
  const target::Enrolment enrolment = target::enroll(
      target::parse_enrolment_line(line), facts,
      arguments.line.enrolments.empty() ? target::default_enrolments_directory() : arguments.line.enrolments,
      arguments.replace);
  const std::string url = "tls://" + to_string(enrolment.address);
  const nlohmann::ordered_json members = {{"target", url}, {"client", enrolment.client}, {"roles", enrolment.roles}};
  return {"Enrolled at " + url + " as " + enrolment.client + " (" + enrolment.roles +
              ").\nCopy to it:  vmferry-target push --store " + arguments.store + " --to " + url + "\n",
          json_members(members)};
}

}  // namespace

void add_enroll_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("enroll", "Make this store known to another target, to copy points over TLS");
  const auto arguments = std::make_shared<EnrollArguments>();
  command->add_option("input", arguments->input, "-: the line is read from standard input")->required()->type_name("-");
  command->add_option("--store", arguments->store, "the store's directory")->required()->type_name("DIR");
  command->add_option("--enrolments", arguments->line.enrolments, "where to keep it; default " +
                                                                      target::default_enrolments_directory().string())
      ->type_name("DIR");
  command->add_flag("--replace", arguments->replace, "forget what was enrolled at this address before");
  command->footer("There:  vmferry-target client add NAME --role replica --store DIR\n"
                  "Here:   vmferry-target enroll - --store DIR      # and paste the line");
  command->callback([arguments, &invocation] { invocation.run = [arguments] { return enroll(*arguments); }; });
}

}  // namespace vmferry::target_server
