// The store's one server, as a relay finds it: whoever holds the store's lock names its socket there. If nobody does, a
// server is started that outlives this process and ends by itself when it is idle. Relays that start one at
// the same time are no trouble: one server gets the lock, and all connect to that one. Neither is a server that ends while
// it is asked: what counts is its answer to the preamble.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>

#include "protocol/transport/transport.h"
#include "target-server/relay/preamble.h"

namespace vmferry::target_server {

struct ServerStart {
  std::filesystem::path program = "/proc/self/exe";  // vmferry-target
  std::chrono::seconds idle_exit{600};
  std::chrono::milliseconds patience{60'000};  // a server that was not closed cleanly reads its store first
};

// Connects to the server of the store in `directory`, and has it take a session with this preamble. Throws Error{not_found}: there is no store; Error{busy}: another
// program than a server holds it; Error{unreachable}: no server came up within `patience`, and why.
std::unique_ptr<Transport> connect_to_server(const std::filesystem::path& directory, const RelayPreamble& preamble,
                                             const ServerStart& start = {});

}  // namespace vmferry::target_server
