#include <CLI/CLI.hpp>

#include "protocol/error.h"
#include "target-server/cli/commands.h"
#include "target-server/cli/json_members.h"
#include "target-server/store/local_files.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {
namespace {

constexpr std::uint64_t domain_file_bytes_max = 64 * 1024;

store::DomainFacts read_domain(const std::string& file) {
  try {
    return store::import_domain(as_text(store::read_whole(file, domain_file_bytes_max)));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::malformed && error.code() != ErrorCode::damaged) throw;
    throw Error(error.code(), "the domain's file is none", file,
                std::string(error.what()) + "; make it with `vmferry-target key export --store DIR > FILE`");
  }
}

}  // namespace

void add_init_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("init", "Make a store in a new or empty directory");
  const auto directory = std::make_shared<std::string>();
  const auto domain = std::make_shared<std::string>();
  command->add_option("--store", *directory, "the store's directory")->required()->type_name("DIR");
  command
      ->add_option("--domain", *domain,
                   "join this dedup domain, so that points can be copied between its stores: what `key export` printed")
      ->type_name("FILE");
  command->footer("Example:\n  vmferry-target init --store /backup/vmferry\n"
                  "  vmferry-target init --store /mnt/usb/vmferry --domain vmferry-key.txt");
  command->callback([&invocation, directory, domain] {
    invocation.run = [directory, domain] {
      if (domain->empty())
        store::Store::init(*directory);
      else
        store::Store::init(*directory, read_domain(*domain));
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
