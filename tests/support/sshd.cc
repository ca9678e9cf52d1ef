#include "tests/support/sshd.h"

#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/process.h"

namespace vmferry::test {
namespace {

std::uint16_t free_port() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  const bool bound = ::bind(descriptor, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                     ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  ::close(descriptor);
  if (!bound) throw std::runtime_error("cannot find a free port");
  return ntohs(address.sin_port);
}

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "stat");
    std::string text;
    if (!std::getline(file, text)) continue;
    const std::size_t name_end = text.rfind(')');  // "PID (name) state PARENT ..."
    if (name_end != std::string::npos && std::atoi(text.c_str() + name_end + 4) == parent)
      found.push_back(std::atoi(text.c_str()));
  }
  return found;
}

}  // namespace

void make_ssh_key(const std::string& type, const std::filesystem::path& file, const std::string& passphrase) {
  std::vector<std::string> words{"ssh-keygen", "-q", "-t", type, "-N", passphrase, "-C", "made-by-a-test", "-f", file};
  if (type == "rsa") words.insert(words.end(), {"-b", "2048"});  // a larger one takes seconds
  run_ok(words);
}

std::string public_key(const std::filesystem::path& private_key) {
  std::ifstream file(private_key.string() + ".pub");
  std::string type, key;
  file >> type >> key;
  return type + " " + key;
}

Sshd::Sshd(const Options& options) : host_key_types_(options.host_key_types) {
  // Where sshd, as root, wants to be locked up before somebody has logged in.
  if (::getuid() == 0) ::mkdir("/run/sshd", 0755);
  for (const std::string& type : host_key_types_) make_ssh_key(type, directory_ / ("host_" + type), {});
  std::ofstream(directory_ / "authorized_keys");
  for (int tries = 0; !process_; ++tries) {  // a port that was free may be taken by now
    if (tries == 5) throw std::runtime_error("sshd found no free port");
    start(options);
  }
}

Sshd::~Sshd() {
  if (process_) kill_connections();
}

void Sshd::start(const Options& options) {
  port_ = free_port();
  std::ofstream config(directory_ / "sshd_config");
  config << "Port " << port_ << "\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no\n"
         << "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nMaxStartups 100\n"
         << "AuthorizedKeysFile " << (directory_ / "authorized_keys").string() << "\n"
         << "SetEnv PATH=" << (options.path_first.empty() ? "" : options.path_first.string() + ":")
         << "/usr/local/bin:/usr/bin:/bin\n";
  for (const std::string& type : options.host_key_types)
    config << "HostKey " << (directory_ / ("host_" + type)).string() << "\n";
  for (const std::string& line : options.lines) config << line << "\n";
  config.close();
  process_.emplace(std::vector<std::string>{"/usr/sbin/sshd", "-D", "-e", "-f", directory_ / "sshd_config"});
  try {
    process_->wait_for_line("Server listening on");
  } catch (const std::runtime_error&) {
    const bool port_is_taken = process_->output().find("Address already in use") != std::string::npos;
    if (!port_is_taken) throw;
    process_.reset();
  }
}


void Sshd::kill_connections() {
  for (const pid_t child : children_of(process_->id())) {
    for (const pid_t grandchild : children_of(child)) ::kill(grandchild, SIGKILL);  // of the user, where it is another
    ::kill(child, SIGKILL);
  }
}

std::filesystem::path Sshd::add_user_key(const std::string& type, const std::string& options,
                                         const std::string& passphrase) {
  const std::filesystem::path file = directory_ / ("user_" + std::to_string(user_keys_++) + "_" + type);
  make_ssh_key(type, file, passphrase);
  std::ofstream(directory_ / "authorized_keys", std::ios::app)
      << options << (options.empty() ? "" : " ") << public_key(file) << "\n";
  return file;
}

std::string Sshd::host_key(const std::string& type) const { return public_key(directory_ / ("host_" + type)); }

std::filesystem::path Sshd::known_hosts() const {
  std::ofstream file(directory_ / "known_hosts");
  for (const std::string& type : host_key_types_) file << "[127.0.0.1]:" << port_ << " " << host_key(type) << "\n";
  return directory_ / "known_hosts";
}

Agent::Agent() : process_({"ssh-agent", "-D", "-a", directory_ / "agent"}) {
  process_.wait_for_line("SSH_AUTH_SOCK");
  ::setenv("SSH_AUTH_SOCK", (directory_ / "agent").c_str(), 1);
}

Agent::~Agent() { ::unsetenv("SSH_AUTH_SOCK"); }

void Agent::add(const std::filesystem::path& private_key) { run_ok({"ssh-add", "-q", private_key}); }

}  // namespace vmferry::test
