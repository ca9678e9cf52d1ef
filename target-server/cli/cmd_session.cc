#include <unistd.h>

#include <CLI/CLI.hpp>

#include "protocol/error.h"
#include "protocol/transport/standard_io.h"
#include "target-server/cli/commands.h"
#include "target-server/relay/preamble.h"
#include "target-server/relay/relay.h"
#include "target-server/relay/server_start.h"

namespace vmferry::target_server {
namespace {

struct SessionSettings {
  std::string directory, client;
  bool standard_io = false;
};

Outcome relay_session(const SessionSettings& settings) {
  RelayPreamble preamble;
  if (!settings.client.empty()) {
    if (!is_client_name(settings.client))
      throw Error(ErrorCode::usage, "not a client's name", settings.client,
                  "letters, digits, '.', '_' and '-'; `vmferry-target client list` has them");
    preamble.client = settings.client;
  }
  if (::isatty(STDIN_FILENO) != 0)
    throw Error(ErrorCode::usage, "this is not for a terminal: vmferry runs it over ssh", {},
                "give vmferry the target ssh://USER@HOST" + settings.directory);
  const auto client = standard_io_transport();
  const auto server = connect_to_server(settings.directory, preamble);
  relay(*client, *server);
  return {};
}

}  // namespace

void add_session_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "session", "Relay one session between standard input and output and the store's server (run over ssh)");
  const auto settings = std::make_shared<SessionSettings>();
  command->add_option("--store", settings->directory, "the store's directory")->required()->type_name("DIR");
  command->add_flag("--stdio", settings->standard_io, "over standard input and output")->required();
  command->add_option("--client", settings->client, "the client that this is, with that client's rights only")
      ->type_name("NAME");
  command->footer("The server is started if none runs; it ends when it was idle for ten minutes.\n"
                  "A line of ~/.ssh/authorized_keys that confines a key to one client:\n"
                  "  command=\"vmferry-target session --stdio --store /backup/store --client web\",restrict ssh-ed25519 "
                  "AAAA...");
  command->callback([settings, &invocation] { invocation.run = [settings] { return relay_session(*settings); }; });
}

}  // namespace vmferry::target_server
