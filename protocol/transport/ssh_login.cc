#include "protocol/transport/ssh_login.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "protocol/error.h"
#include "protocol/transport/ssh_agent.h"
#include "protocol/transport/ssh_keys.h"

namespace vmferry {
namespace {

using Accepted = SshSession::Accepted;

// Servers end the connection after six keys that they do not take (MaxAuthTries): then it is the keys, and not the line.
constexpr std::size_t tries_suspicious = 3;

struct NamedFile {
  std::filesystem::path path;
  KeyFile key;
};

class Login {
 public:
  Login(SshSession& session, SshDriver& driver, const std::string& user, const SshAddress& where)
      : session_(session), driver_(driver), user_(user), where_(where) {}

  // Costs a round trip, so only where no key is taken: a host may want none, or no key at all.
  bool try_without() {
    std::optional<std::string> methods;
    while (!(methods = session_.authentication_methods(user_))) driver_.exchange();
    methods_ = *methods;
    return is_in_ = methods_ == "none";
  }

  void read_files(const std::vector<std::filesystem::path>& paths, bool named_by_user) {
    for (const std::filesystem::path& path : paths) {
      if (!named_by_user && !std::filesystem::exists(path)) continue;
      NamedFile file{path, read_key_file(path)};
      if (file.key.type == "rsa" || (!file.key.type.empty() && file.key.type != "ecdsa" && !is_usable_key_type(file.key.type)))
        has_rsa_ = true;
      files_.push_back(std::move(file));
    }
  }

  void read_agent() {
    agent_ = SshAgent::connect(driver_.deadline());
    if (!agent_) return;
    for (SshAgent::Identity& identity : agent_->identities()) {
      if (is_usable_key_type(key_type_of(identity.key))) {
        identities_.push_back(std::move(identity));
      } else {
        has_rsa_ = true;
      }
    }
    // What the user names comes first, since the host stops listening after a few.
    std::stable_partition(identities_.begin(), identities_.end(),
                          [&](const SshAgent::Identity& identity) { return is_of_a_file(identity.key); });
  }

  bool try_agent(bool of_files) {
    for (const SshAgent::Identity& identity : identities_) {
      if (is_in_ || is_of_a_file(identity.key) != of_files) continue;
      const SshSession::Sign sign = [&](ByteView data) { return agent_->sign(identity.key, data); };
      try_key("the agent's " + fingerprint_of_key(identity.key) + " (" + identity.comment + ")",
              [&] { return session_.authenticate(user_, identity.key, sign); });
      tried_keys_.push_back(identity.key);
    }
    return is_in_;
  }

  bool try_files() {
    for (const NamedFile& file : files_) {
      const bool tried = std::find(tried_keys_.begin(), tried_keys_.end(), file.key.public_key) != tried_keys_.end();
      if (is_in_ || tried) continue;
      if (file.key.encrypted) {
        encrypted_ += " " + file.path.string();
      } else if (file.key.type != "rsa" && file.key.type != "ssh-rsa") {
        try_key(file.path, [&] { return session_.authenticate_with_file(user_, file.key.content); });
      }
    }
    return is_in_;
  }

  [[noreturn]] void throw_refused() const {
    std::string text;
    if (!methods_.empty() && methods_.find("publickey") == std::string::npos) {
      text = "it takes no keys (only " + methods_ + "), and vmferry gives no passwords";
    } else {
      text = tried_.empty() ? "there is no key to show" : "it takes none of these keys: " + tried_;
      if (!encrypted_.empty())
        text += "; encrypted keys are used through the agent only: eval $(ssh-agent); ssh-add" + encrypted_;
      if (has_rsa_) text += "; RSA keys do not work here: use an ed25519 key, or the system's ssh with --ssh-command ssh";
      if (encrypted_.empty() && !has_rsa_)
        text += tried_.empty() ? "; make one: ssh-keygen -t ed25519; ssh-copy-id" + destination()
                               : "; let one in: ssh-copy-id" + destination();
    }
    throw Error(ErrorCode::permission, "the host does not let us in", user_ + "@" + where_.host, text);
  }

 private:
  template <typename Try>
  void try_key(const std::string& name, Try attempt) {
    tried_ += (tried_.empty() ? "" : ", ") + name;
    ++tries_;
    try {
      Accepted accepted = attempt();
      for (; accepted == Accepted::waits; accepted = attempt()) driver_.exchange();
      is_in_ = accepted == Accepted::yes;
    } catch (const Error& error) {
      if (tries_ < tries_suspicious || error.code() != ErrorCode::unreachable) throw;
      tried_ += " (then it hung up: too many)";
      throw_refused();
    }
  }

  bool is_of_a_file(const Bytes& key) const {
    return std::any_of(files_.begin(), files_.end(), [&](const NamedFile& file) { return file.key.public_key == key; });
  }

  std::string destination() const {
    return (where_.port == 22 ? " " : " -p " + std::to_string(where_.port) + " ") + user_ + "@" + where_.host;
  }

  SshSession& session_;
  SshDriver& driver_;
  const std::string user_;
  const SshAddress& where_;
  std::unique_ptr<SshAgent> agent_;
  std::vector<SshAgent::Identity> identities_;
  std::vector<NamedFile> files_;
  std::vector<Bytes> tried_keys_;
  std::string methods_, tried_, encrypted_;
  std::size_t tries_ = 0;
  bool has_rsa_ = false, is_in_ = false;
};

std::optional<passwd> account(std::vector<char>& buffer) {
  buffer.resize(16 * 1024);
  passwd entry{}, *found = nullptr;
  if (::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return std::nullopt;
  return entry;
}

}  // namespace

void log_in(SshSession& session, SshDriver& driver, const std::string& user, const SshAddress& where,
            const SshOptions& options) {
  Login login(session, driver, user, where);
  const bool named_by_user = !options.key_files.empty();
  std::vector<std::filesystem::path> files = options.key_files;
  if (files.empty())
    for (const char* name : {"id_ed25519", "id_ecdsa", "id_rsa"}) files.push_back(ssh_directory() / name);
  login.read_files(files, named_by_user);
  if (options.agent) login.read_agent();
  const bool is_in = login.try_agent(true) || (named_by_user && login.try_files()) || login.try_agent(false) ||
                     login.try_files() || login.try_without();
  if (!is_in) login.throw_refused();
}

std::filesystem::path ssh_directory() {
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') return std::filesystem::path(home) / ".ssh";
  std::vector<char> buffer;
  const auto entry = account(buffer);
  return std::filesystem::path(entry ? entry->pw_dir : "/") / ".ssh";
}

std::string login_name() {
  std::vector<char> buffer;
  const auto entry = account(buffer);
  if (!entry) throw Error(ErrorCode::usage, "this account has no name", {}, "name one: ssh://USER@HOST/STORE");
  return entry->pw_name;
}

}  // namespace vmferry
