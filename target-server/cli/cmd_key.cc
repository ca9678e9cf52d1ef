#include <CLI/CLI.hpp>

#include "target-server/cli/commands.h"
#include "target-server/cli/json_members.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

void add_key_command(CLI::App& app, Invocation& invocation) {
  CLI::App* key = app.add_subcommand("key", "The key that every chunk of the store is named by");
  key->require_subcommand(1);
  CLI::App* command =
      key->add_subcommand("export", "Print the key, to be kept elsewhere: without it the store is lost");
  const auto directory = std::make_shared<std::string>();
  command->add_option("--store", *directory, "the store's directory")->required()->type_name("DIR");
  command->footer("Example:\n  vmferry-target key export --store /backup/vmferry > vmferry-key.txt\n"
                  "To put it back, copy the text to DIR/domains/UUID/domain.");
  command->callback([&invocation, directory] {
    invocation.run = [directory] {
      const auto opened = store::Store::open(*directory, {.writable = false, .socket = {}});
      const std::string text = store::export_domain(opened->domain());
      const nlohmann::ordered_json facts = {{"domain_uuid", opened->domain().uuid.to_string()}, {"key", text}};
      return Outcome{text, json_members(facts)};
    };
  });
}

}  // namespace vmferry::target_server
