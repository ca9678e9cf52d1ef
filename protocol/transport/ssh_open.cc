// SshConnection::open: name, TCP, SSH's handshake, the host's key, and the login, within one time and on the calling thread,
// which waits for it anyway: so a slow name server, a slow agent and the handshake's arithmetic hold up nobody's line.
// Then the IoLoop takes over.
#include <poll.h>

#include <algorithm>
#include <array>

#include "protocol/error.h"
#include "protocol/transport/known_hosts.h"
#include "protocol/transport/ssh_connection.h"
#include "protocol/transport/ssh_keys.h"
#include "protocol/transport/ssh_login.h"
#include "protocol/transport/tcp_connect.h"

namespace vmferry {
namespace {

using Clock = std::chrono::steady_clock;

class Driver final : public SshDriver {
 public:
  Driver(SshSession& session, int socket, const std::string& host, std::chrono::milliseconds timeout,
         Clock::time_point deadline)
      : session_(session), socket_(socket), host_(host), timeout_(timeout), deadline_(deadline) {}

  Clock::time_point deadline() const override { return deadline_; }

  void exchange() override {
    flush();
    wait_for(POLLIN);
    std::array<std::byte, 16 * 1024> buffer;
    const ssize_t count = ::recv(socket_, buffer.data(), buffer.size(), 0);
    if (count > 0) {
      session_.input().insert(session_.input().end(), buffer.begin(), buffer.begin() + count);
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      session_.input_ended();
    }
  }

  void flush() {
    ByteView rest(session_.output());
    while (!rest.empty()) {
      const ssize_t count = ::send(socket_, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (count > 0) {
        rest = rest.subspan(static_cast<std::size_t>(count));
      } else if (errno == EAGAIN) {
        wait_for(POLLOUT);
      } else if (errno != EINTR) {
        break;  // the host has gone; what it said last may be there to read
      }
    }
    session_.output().clear();
  }

 private:
  void wait_for(short events) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
    pollfd waiting = {socket_, events, 0};
    if (left.count() > 0 && ::poll(&waiting, 1, static_cast<int>(left.count())) != 0) return;
    throw Error(ErrorCode::unreachable, "the host takes too long to log us in", host_,
                "gave up after " + std::to_string(timeout_.count() / 1000) + " s");
  }

  SshSession& session_;
  const int socket_;
  const std::string& host_;
  const std::chrono::milliseconds timeout_;
  const Clock::time_point deadline_;
};

// The types that the host is known by first: asked for another one it would show a key that nobody knows. Then the rest,
// so that a host that is not known, or has changed, can show what it has.
std::vector<std::string> host_key_types(const std::vector<std::string>& known) {
  std::vector<std::string> types;
  std::copy_if(known.begin(), known.end(), std::back_inserter(types), is_usable_key_type);
  for (const char* type : {"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"})
    if (std::find(types.begin(), types.end(), type) == types.end()) types.push_back(type);
  return types;
}

void check_host_key(const KnownHosts& known, const std::string& user, const SshAddress& where, const Bytes& key) {
  const KnownHosts::Answer answer = known.check(where.host, where.port, key);
  const std::string name = known_hosts_name(where.host, where.port), shown = fingerprint_of_key(key);
  const std::string line = answer.file.string() + ":" + std::to_string(answer.line);
  const std::string port = where.port == 22 ? "" : "-p " + std::to_string(where.port) + " ";
  const std::string meet = "ssh " + port + user + "@" + where.host + " true";
  switch (answer.verdict) {
    case KnownHosts::Verdict::known: return;
    case KnownHosts::Verdict::revoked:
      throw Error(ErrorCode::refused, "the host shows a key that was revoked", name,
                  shown + " is marked @revoked in " + line + ": somebody else may hold it. Give the host a new key");
    case KnownHosts::Verdict::changed:
      throw Error(ErrorCode::refused, "the host's key has changed", name,
                  "it shows " + shown + ", and " + line +
                      " has another one: somebody may be listening in between, or the host was set up anew. If you "
                      "are sure of the latter: ssh-keygen -f " + answer.file.string() + " -R '" + name + "', then " + meet);
    case KnownHosts::Verdict::unknown:
      throw Error(ErrorCode::refused, "the host's key is not known here", name,
                  "it shows " + shown + ". Compare that with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub "
                  "there); if it is the same, run `" + meet + "` once, or `ssh-keyscan " + port + where.host +
                      " >> ~/.ssh/known_hosts`");
  }
}

std::vector<std::filesystem::path> known_hosts_files(const SshOptions& options) {
  if (!options.known_hosts.empty()) return options.known_hosts;
  return {ssh_directory() / "known_hosts", "/etc/ssh/ssh_known_hosts"};
}

// The same with the host named, where it is not yet.
[[noreturn]] void rethrow_named(const Error& error, const std::string& host) {
  if (!error.object().empty()) throw error;
  throw Error(error.code(), host + ": " + error.what());
}

}  // namespace

std::shared_ptr<SshConnection> SshConnection::open(const SshAddress& where, const SshOptions& options) {
  const Clock::time_point deadline = Clock::now() + options.timeout;
  const auto left = [&] {
    return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()),
                    std::chrono::milliseconds(1));
  };
  const std::string user = where.user.empty() ? login_name() : where.user;
  const KnownHosts known = KnownHosts::read(known_hosts_files(options));
  const HostPort host{where.host, where.port};
  OwnedSocket socket = connect_tcp(host, resolve_tcp(host, left()), options.dscp, left(), "sshd");
  auto session = std::make_unique<SshSession>(socket.get(), host_key_types(known.key_types(where.host, where.port)));
  Driver driver(*session, socket.get(), where.host, options.timeout, deadline);
  try {
    while (session->handshake() == Step::waits) driver.exchange();
    check_host_key(known, user, where, session->host_key());
    log_in(*session, driver, user, where, options);
    driver.flush();
  } catch (const Error& error) {
    rethrow_named(error, where.host);
  }
  return run_ssh_connection(std::move(socket), std::move(session), where, options.timeout);
}

}  // namespace vmferry
