#include <CLI/CLI.hpp>

#include "target-server/cli/commands.h"
#include "target-server/cli/copy_command.h"
#include "target-server/replicate/stores.h"

namespace vmferry::target_server {

void add_pull_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("pull", "Copy restore points from another store of the same dedup domain");
  const auto arguments = std::make_shared<CopyArguments>();
  add_copy_options(*command, *arguments, "--from");
  command->footer("Example:\n  vmferry-target pull --store /backup/vmferry --from unix:///run/vmferry.sock web1\n"
                  "What is here already is not fetched again; nothing is ever deleted here.");
  command->callback([arguments, &invocation] {
    invocation.run = [arguments, &invocation] {
      const NearStore near = open_near_store(arguments->directory, arguments->dry_run ? Access::read : Access::write);
      const auto far = connect_far_store(arguments->url, near.facts, Access::read, dial_options(arguments->line));
      return copy_command(*arguments, {*far, *near.session, *near.session}, {}, invocation);
    };
  });
}

}  // namespace vmferry::target_server
