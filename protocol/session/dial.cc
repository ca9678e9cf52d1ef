#include "protocol/session/dial.h"

#include <mutex>

#include "protocol/error.h"
#include "protocol/session/enrolment.h"
#include "protocol/transport/program_transport.h"

namespace vmferry::target {
namespace {

constexpr std::string_view tls_scheme = "tls://";
constexpr std::string_view ssh_scheme = "ssh://";

HostPort tls_address(const std::string& url) {
  std::string rest = url.substr(tls_scheme.size());
  if (rest.ends_with('/')) rest.pop_back();
  return parse_host_port(rest);
}

link::Dial tls_dial(const std::string& url, const DialOptions& options) {
  const HostPort where = tls_address(url);
  const Enrolment enrolment = load_enrolment(
      options.enrolments.empty() ? default_enrolments_directory() : options.enrolments, where);
  TlsConnectOptions connecting;
  connecting.identity = enrolment.identity;
  connecting.server = enrolment.server;
  connecting.dscp = options.dscp;
  return [where, connecting] { return connect_tls(where, connecting); };
}

// One connection carries several lines, each a channel with a window of its own; when it is gone, the next line makes
// another one.
class SshDial {
 public:
  SshDial(SshAddress where, SshOptions options) : where_(std::move(where)), options_(std::move(options)) {}

  std::unique_ptr<Transport> line() {
    const std::lock_guard lock(mutex_);
    if (const auto connection = connection_.lock()) try {
        return connection->run(far_command(where_.store));
      } catch (const Error& error) {
        if (error.code() != ErrorCode::unreachable) throw;
      }
    const std::shared_ptr<SshConnection> made = SshConnection::open(where_, options_);
    connection_ = made;
    return made->run(far_command(where_.store));
  }

 private:
  const SshAddress where_;
  const SshOptions options_;
  std::mutex mutex_;
  std::weak_ptr<SshConnection> connection_;  // its lines keep it
};

link::Dial ssh_dial(const std::string& url, const DialOptions& options) {
  const SshAddress where = parse_ssh_url(url);
  if (!options.ssh_command.empty())
    return [words = ssh_command_words(options.ssh_command, where)] { return run_program(words); };
  SshOptions ssh = options.ssh;
  ssh.dscp = options.dscp;
  const auto dial = std::make_shared<SshDial>(where, ssh);
  return [dial] { return dial->line(); };
}

}  // namespace

bool is_remote(const std::string& url) noexcept { return url.starts_with(tls_scheme) || url.starts_with(ssh_scheme); }

std::unique_ptr<Transport> dial(const std::string& url, const DialOptions& options) {
  link::LinkOptions link = options.link;
  link.begin_early = true;  // the session's own hello
  if (url.starts_with(tls_scheme)) return link::open_link(tls_dial(url, options), link);
  if (url.starts_with(ssh_scheme)) return link::open_link(ssh_dial(url, options), link);
  throw Error(ErrorCode::usage, "not a kind of target that vmferry knows", url,
              "tls://HOST[:PORT], ssh://[USER@]HOST[:PORT]/STORE, unix:///SOCKET or file:///DIR");
}

}  // namespace vmferry::target
