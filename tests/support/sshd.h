// Sshd: OpenSSH's own server on loopback, with host keys, users' keys and a configuration of its own in a temporary
// directory. The account is the one that runs the test. tests/support/sshd.py is the same for Python.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/running_process.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::test {

class Sshd {
 public:
  struct Options {
    std::vector<std::string> host_key_types = {"ed25519", "ecdsa"};
    std::vector<std::string> lines = {};       // more of sshd_config
    std::filesystem::path path_first = {};     // searched for commands before /usr/bin
  };
  explicit Sshd(const Options& options);
  Sshd() : Sshd(Options()) {}
  ~Sshd();
  Sshd(const Sshd&) = delete;
  Sshd& operator=(const Sshd&) = delete;

  std::uint16_t port() const noexcept { return port_; }
  const std::filesystem::path& directory() const noexcept { return directory_.path(); }
  // A new key that may log in; the private half's file. options: as authorized_keys has them before the key.
  std::filesystem::path add_user_key(const std::string& type, const std::string& options = {},
                                     const std::string& passphrase = {});
  // "ssh-ed25519 AAAA..."
  std::string host_key(const std::string& type) const;
  // A file that knows all of this server's keys, under "[127.0.0.1]:PORT".
  std::filesystem::path known_hosts() const;
  // Kills the processes that serve connections, and leaves the one that accepts them.
  void kill_connections();

 private:
  void start(const Options& options);

  TemporaryDirectory directory_;
  std::uint16_t port_ = 0;
  std::optional<RunningProcess> process_;
  int user_keys_ = 0;
  std::vector<std::string> host_key_types_;
};

// As ssh-keygen makes it, with a public half beside it.
void make_ssh_key(const std::string& type, const std::filesystem::path& file, const std::string& passphrase = {});
// A public key's file: its first two words.
std::string public_key(const std::filesystem::path& private_key);

// An ssh-agent of its own, to which SSH_AUTH_SOCK points while it lives.
class Agent {
 public:
  Agent();
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  void add(const std::filesystem::path& private_key);

 private:
  TemporaryDirectory directory_;
  RunningProcess process_;
};

}  // namespace vmferry::test
