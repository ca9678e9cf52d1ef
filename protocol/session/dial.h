// dial: a link to a target that lies beyond a line: tls://HOST[:PORT], where this host has enrolled, or
// ssh://[USER@]HOST[:PORT]/STORE, where an account is enough. Once for both programs: restores, backups, copies between
// targets.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "protocol/link/link.h"
#include "protocol/transport/ssh.h"
#include "protocol/transport/transport.h"

namespace vmferry::target {

struct DialOptions {
  std::filesystem::path enrolments;         // empty: default_enrolments_directory()
  SshOptions ssh;
  std::string ssh_command;                  // not empty: this program carries the session, as rsync's -e does
  std::optional<unsigned> dscp;             // marks what is sent
  link::LinkOptions link;
};

// Whether a line lies between this host and the target.
bool is_remote(const std::string& url) noexcept;

// Throws Error{usage} for another kind of URL; what the transports and the target do.
std::unique_ptr<Transport> dial(const std::string& url, const DialOptions& options);

}  // namespace vmferry::target
