#include "engine/cli/target_connection.h"

#include <filesystem>
#include <string_view>

#include "engine/cli/bandwidth.h"
#include "engine/cli/interrupts.h"
#include "protocol/error.h"
#include "protocol/session/dial.h"
#include "protocol/session/reopening_session.h"
#include "protocol/transport/transport.h"
#include "target-server/serve/embedded_target.h"
#include "target-server/store/store.h"

namespace vmferry::cli {
namespace {

constexpr std::string_view file_scheme = "file://";
constexpr std::string_view unix_scheme = "unix://";

std::filesystem::path path_of(const std::string& url, std::string_view scheme) {
  const std::string path = url.substr(scheme.size());
  if (path.empty() || path.front() != '/')
    throw Error(ErrorCode::usage, "the target's path must be absolute", url,
                "write it with three slashes: " + std::string(scheme) + "/DIR");
  return path;
}

using Early = std::optional<target::BackupOpening>;

class Connection : public TargetConnection {
 public:
  Connection(std::unique_ptr<Transport> transport, const target::ClientFacts& client, const Early& early)
      : session_(target::TargetSession::open(std::move(transport), client, print_line_note, early)) {}
  Connection(std::unique_ptr<Bandwidth> bandwidth, std::unique_ptr<target::TargetSession> session)
      : bandwidth_(std::move(bandwidth)), session_(std::move(session)) {}

  target::TargetSession& session() noexcept override { return *session_; }

 private:
  std::unique_ptr<Bandwidth> bandwidth_;  // of a line's; it outlives the session
  std::unique_ptr<target::TargetSession> session_;
};

// A session for reading is opened again by itself where the target was restarted; a backup is run again by who runs it.
std::unique_ptr<target::TargetSession> open_beyond_a_line(const Settings& settings, const target::ClientFacts& client,
                                                          Access access, std::chrono::milliseconds patience,
                                                          const Early& early, const Bandwidth* bandwidth) {
  target::DialOptions options = dial_options(settings.line, print_line_note);
  if (bandwidth != nullptr) {
    options.link.sending = bandwidth->sending();
    options.link.receiving = bandwidth->receiving();
  }
  const auto open = [options, client, url = settings.target](std::chrono::milliseconds first_patience, const Early& first) {
    target::DialOptions dialing = options;
    dialing.link.first_patience = first_patience;
    return target::TargetSession::open(target::dial(url, dialing), client, print_line_note, first);
  };
  auto session = open(patience, early);
  if (access == Access::write || settings.line.retry_for.count() == 0) return session;
  target::ReopeningOptions reopening;
  reopening.patience = settings.line.retry_for;
  reopening.note = print_line_note;
  reopening.cancel = &cancelled();
  return std::make_unique<target::ReopeningSession>(std::move(session), [open] { return open({}, {}); }, reopening);
}

std::unique_ptr<store::Store> open_store(const std::filesystem::path& directory, Access access) {
  store::StoreOptions options;
  options.writable = access == Access::write;
  return store::Store::open(directory, options);
}

}  // namespace

std::unique_ptr<TargetConnection> connect_target(const Settings& settings, const target::ClientFacts& client,
                                                 Access access, std::chrono::milliseconds patience, const Early& early) {
  const std::string& url = settings.target;
  if (url.empty())
    throw Error(ErrorCode::usage, "no target is given", {},
                "name one with --target URL, VMFERRY_TARGET, or `target` in the configuration: file:///DIR (made by "
                "`vmferry-target init --store DIR`), tls://HOST (after `vmferry enroll -`), ssh://HOST/STORE, unix:///SOCKET");
  if (url.starts_with(file_scheme))
    return std::make_unique<Connection>(target_server::embedded_target(open_store(path_of(url, file_scheme), access)),
                                        client, early);
  if (url.starts_with(unix_scheme))
    return std::make_unique<Connection>(connect_unix(path_of(url, unix_scheme)), client, early);
  // Without a limit too: one may be written into the configuration, and SIGHUP sent, while this runs.
  auto bandwidth = std::make_unique<Bandwidth>(
      settings.rates, BandwidthSource{[settings] { return read_rate_schedule(settings); }, print_line_note});
  auto session = open_beyond_a_line(settings, client, access, patience, early, bandwidth.get());
  return std::make_unique<Connection>(std::move(bandwidth), std::move(session));
}

}  // namespace vmferry::cli
