// SSH as a client: one command on the far host, its standard input and output as a Transport. Two ways: libssh2, driven
// without blocking from Asio on the process's IoLoop; or a program that the user names (`--ssh-command 'ssh -J jump'`),
// for what libssh2 lacks (RSA keys with new servers, ProxyJump, AES-GCM).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/transport/transport.h"

namespace vmferry {

inline constexpr std::uint16_t ssh_port = 22;

// ssh://[USER@]HOST[:PORT]/STORE
struct SshAddress {
  std::string user;             // empty: the login name
  std::string host;
  std::uint16_t port = ssh_port;
  std::string store;            // absolute path on the far host
};
SshAddress parse_ssh_url(const std::string& url);  // throws Error{usage}

struct SshOptions {
  std::vector<std::filesystem::path> key_files;    // empty: ~/.ssh/id_ed25519, ~/.ssh/id_ecdsa, as far as they are there
  bool agent = true;                               // SSH_AUTH_SOCK, asked first
  std::vector<std::filesystem::path> known_hosts;  // empty: ~/.ssh/known_hosts, /etc/ssh/ssh_known_hosts
  std::chrono::milliseconds timeout{20'000};       // until the command runs
  std::optional<unsigned> dscp;
};

// SshConnection: one authenticated connection, from which several commands may be started, each a Transport of its own.
// It ends when the last of them is gone. Thread-safe.
class SshConnection {
 public:
  // Throws Error{unreachable} for what another try may heal; Error{refused}: the host's key is unknown, changed or
  // revoked (the sentence names file and line, and the command that helps); Error{permission}: no key was accepted.
  // Never asks for a password or passphrase.
  static std::shared_ptr<SshConnection> open(const SshAddress& where, const SshOptions& options);
  virtual ~SshConnection() = default;
  virtual std::unique_ptr<Transport> run(const std::string& command) = 0;
};

// What runs on the far host: it relays to the store's one server. For a POSIX shell, quoted.
std::string far_command(const std::string& store);

// The same by a program of the user's: `ssh_command` (split_words), [-l user] [-p port] host, far_command.
std::vector<std::string> ssh_command_words(const std::string& ssh_command, const SshAddress& where);

}  // namespace vmferry
