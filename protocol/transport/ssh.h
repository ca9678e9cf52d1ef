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

// ssh://[USER@]HOST[:PORT]/STORE
struct SshAddress {
  std::string user;             // empty: the login name
  std::string host;
  std::uint16_t port = 22;
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

// Runs a program here and talks to its standard input and output. `words` is not given to a shell. Its standard error's
// last lines become part of the error when it fails. Throws Error{unreachable}.
std::unique_ptr<Transport> run_program(const std::vector<std::string>& words);
// "ssh -J 'my jump'" -> its words, by the shell's quoting rules (quotes and backslashes only). Throws Error{usage}.
std::vector<std::string> split_words(const std::string& command);

// The far side of all that: this process's standard input and output.
std::unique_ptr<Transport> standard_io_transport();

}  // namespace vmferry
