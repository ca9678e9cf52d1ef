#include <CLI/CLI.hpp>

#include "target-server/cli/commands.h"
#include "target-server/cli/json_members.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

void add_init_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("init", "Make a store in a new or empty directory");
  const auto directory = std::make_shared<std::string>();
  command->add_option("--store", *directory, "the store's directory")->required()->type_name("DIR");
  command->footer("Example:\n  vmferry-target init --store /backup/vmferry");
  command->callback([&invocation, directory] {
    invocation.run = [directory] {
      store::Store::init(*directory);
      const auto made = store::Store::open(*directory);
      const nlohmann::ordered_json facts = {{"store", *directory},
                                            {"uuid", made->uuid().to_string()},
                                            {"domain_uuid", made->domain().uuid.to_string()}};
      return Outcome{"A store was made in " + *directory +
                         ".\nPrint its key now, and keep it elsewhere: vmferry-target key export --store " +
                         *directory + "\nBack up to it:  vmferry backup DISK.vmdk --target file://" +
                         std::filesystem::absolute(*directory).string() + "\n",
                     json_members(facts)};
    };
  });
}

}  // namespace vmferry::target_server
