// Logging in over SSH with keys alone: those that the user's agent holds, and files without a passphrase. Never asks.
#pragma once

#include <functional>

#include "protocol/transport/ssh_session.h"
#include "protocol/transport/ssh.h"

namespace vmferry {

// Calls a step until it no longer says `waits`, and exchanges bytes with the host between two calls.
class SshDriver {
 public:
  virtual ~SshDriver() = default;
  virtual void exchange() = 0;  // throws Error{unreachable} at the deadline
  virtual std::chrono::steady_clock::time_point deadline() const = 0;
};

// Throws Error{permission}: which keys were tried, and what to do. user: not empty.
void log_in(SshSession& session, SshDriver& driver, const std::string& user, const SshAddress& where,
            const SshOptions& options);

std::filesystem::path ssh_directory();  // ~/.ssh
std::string login_name();

}  // namespace vmferry
