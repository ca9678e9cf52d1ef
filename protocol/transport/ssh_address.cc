// What a user writes of an SSH target, and what follows from it for the far side.
#include <algorithm>

#include "protocol/error.h"
#include "protocol/transport/host_port.h"
#include "protocol/transport/program_transport.h"
#include "protocol/transport/ssh.h"

namespace vmferry {
namespace {

constexpr std::string_view scheme = "ssh://";
constexpr const char* form = "write it as ssh://[USER@]HOST[:PORT]/STORE";

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// It goes to the command line of the ssh that --ssh-command names, as the host does (parse_host_port looks at that one).
bool is_user_name(const std::string& name) {
  return !name.empty() && name.front() != '-' &&
         std::none_of(name.begin(), name.end(), [](char c) { return c == ' ' || is_control(c); });
}

}  // namespace

SshAddress parse_ssh_url(const std::string& url) {
  if (!url.starts_with(scheme)) throw Error(ErrorCode::usage, "this is no ssh:// target", url, form);
  const std::size_t path = url.find('/', scheme.size());
  if (path == std::string::npos)
    throw Error(ErrorCode::usage, "this target names no store", url, std::string(form) + ", STORE as an absolute path");
  std::string authority = url.substr(scheme.size(), path - scheme.size());
  SshAddress address;
  address.store = url.substr(path);
  if (const std::size_t at = authority.rfind('@'); at != std::string::npos) {
    address.user = authority.substr(0, at);
    authority.erase(0, at + 1);
    if (!is_user_name(address.user)) throw Error(ErrorCode::usage, "this target's user name cannot be one", url, form);
  }
  const HostPort where = parse_host_port(authority, ssh_port);
  address.host = where.host;
  address.port = where.port;
  if (std::any_of(address.store.begin(), address.store.end(), is_control))
    throw Error(ErrorCode::usage, "this target's path has control characters", url, form);
  return address;
}

std::string far_command(const std::string& store) {
  return "vmferry-target session --stdio --store " + shell_quoted(store);
}

std::vector<std::string> ssh_command_words(const std::string& ssh_command, const SshAddress& where) {
  std::vector<std::string> words = split_words(ssh_command);
  if (!where.user.empty()) words.insert(words.end(), {"-l", where.user});
  // The default is not passed on: the user's ssh may have another one for this host in its configuration.
  if (where.port != ssh_port) words.insert(words.end(), {"-p", std::to_string(where.port)});
  words.insert(words.end(), {where.host, far_command(where.store)});
  return words;
}

}  // namespace vmferry
