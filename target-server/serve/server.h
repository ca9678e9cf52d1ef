// Server: one store, served: its Unix socket for the owner and for relays, and TLS for clients. Owns everything that a
// running target has beside the store: listeners, links, sessions, the watch on its clients.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "protocol/link/link.h"
#include "protocol/transport/tls.h"
#include "target-server/access/client_book.h"
#include "target-server/access/client_watch.h"
#include "target-server/serve/greeter.h"
#include "target-server/serve/session_pool.h"

namespace vmferry::target_server {

struct ServerOptions {
  std::filesystem::path socket;                  // the owner's
  std::vector<HostPort> listen;                  // TLS; none: only the socket
  TlsListenOptions tls;
  PoolLimits sessions;
  std::size_t backups_max = 16;                  // at a time; the others wait
  link::LinkServerOptions links;
  ServeOptions session;
  std::chrono::seconds idle_exit{0};             // ends when nobody was there for so long; 0: never
};

class Server {
 public:
  // Listens when it returns. identity is needed where there is something to listen to.
  Server(store::Store& store, const std::filesystem::path& directory, const ServerOptions& options,
         const std::optional<TlsIdentity>& identity);
  ~Server();

  const std::vector<HostPort>& addresses() const noexcept { return addresses_; }
  // Until stop(), or until it was idle for long enough.
  void run();
  // Takes no more; what runs goes on for `grace` at most. A second call ends it at once. From any thread.
  void stop() noexcept;

 private:
  void accept_local();
  void accept_tls(TlsListener& listener);
  void take_link(std::unique_ptr<link::TargetLink> link);
  void clients_changed();
  void stop_listening() noexcept;

  const ServerOptions options_;
  access::ClientBook clients_;
  SessionPool sessions_;
  std::unique_ptr<link::LinkServer> links_;
  Greeter greeter_;
  std::unique_ptr<UnixListener> local_;
  std::vector<std::unique_ptr<TlsListener>> tls_;
  std::vector<HostPort> addresses_;
  std::unique_ptr<access::ClientWatch> watch_;

  std::mutex mutex_;
  std::condition_variable changed_;
  int stops_ = 0;
  std::map<std::string, access::ClientRecord> admitted_;  // clients as they were when their sessions began
  std::vector<std::thread> acceptors_;
};

// The store's TLS identity: DIR/server.key (0600) and DIR/server.crt. Made where it is not there yet.
TlsIdentity server_identity(const std::filesystem::path& store);
// The same key with a new certificate.
TlsIdentity renew_server_certificate(const std::filesystem::path& store);

}  // namespace vmferry::target_server
