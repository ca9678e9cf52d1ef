#include <CLI/CLI.hpp>

#include "target-server/cli/commands.h"
#include "target-server/cli/copy_command.h"
#include "target-server/replicate/stores.h"

namespace vmferry::target_server {

void add_push_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("push", "Copy restore points to another store of the same dedup domain");
  const auto arguments = std::make_shared<CopyArguments>();
  add_copy_options(*command, *arguments, "--to");
  command->footer("Example:\n  vmferry-target push --store /backup/vmferry --to file:///mnt/usb/vmferry\n"
                  "What is there already is not sent again; nothing is ever deleted there.");
  command->callback([arguments, &invocation] {
    invocation.run = [arguments, &invocation] {
      const NearStore near = open_near_store(arguments->directory, Access::read);
      const auto far = connect_far_store(arguments->url, near.facts, arguments->dry_run ? Access::read : Access::write,
                                         dial_options(arguments->line));
      return copy_command(*arguments, {*near.session, *far, *near.session}, near.damaged_points, invocation);
    };
  });
}

}  // namespace vmferry::target_server
