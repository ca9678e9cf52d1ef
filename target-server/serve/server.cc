#include "target-server/serve/server.h"

#include <algorithm>

#include "protocol/error.h"
#include "protocol/link/refuse.h"
#include "target-server/serve/log.h"

namespace vmferry::target_server {
namespace {

constexpr std::chrono::seconds grace{10};

ServeOptions with_server(const ServerOptions& options, access::ClientBook& clients) {
  ServeOptions session = options.session;
  session.backup_turns = std::make_shared<Turnstile>(options.backups_max);
  session.deadlines = std::make_shared<Deadlines>();
  session.bind = [&clients](const std::string& client, const Uuid& uuid) { return clients.bind(client, uuid); };
  return session;
}

}  // namespace

Server::Server(store::Store& store, const std::filesystem::path& directory, const ServerOptions& options,
               const std::optional<TlsIdentity>& identity)
    : options_(options),
      clients_(directory),
      sessions_(store, options.sessions, with_server(options, clients_)),
      links_(link::LinkServer::create(options.links,
                                      [this](std::unique_ptr<link::TargetLink> made) { take_link(std::move(made)); })),
      greeter_(store, clients_, *links_, sessions_) {
  local_ = listen_unix(options.socket);
  if (!options.listen.empty() && !identity) throw std::logic_error("a TLS listener without an identity");
  for (const HostPort& where : options.listen) {
    tls_.push_back(listen_tls(where, *identity, options.tls));
    addresses_.push_back(tls_.back()->address());
  }
  watch_ = std::make_unique<access::ClientWatch>(clients_.folder(), [this] { clients_changed(); });
  acceptors_.emplace_back([this] { accept_local(); });
  for (const auto& listener : tls_) acceptors_.emplace_back([this, &listener] { accept_tls(*listener); });
}

Server::~Server() {
  stop_listening();
  for (std::thread& acceptor : acceptors_) acceptor.join();
  watch_.reset();
  sessions_.abort_all();
}

void Server::accept_local() try {
  while (std::unique_ptr<Transport> transport = local_->accept()) {
    sessions_.somebody_came();
    greeter_.take_local(std::move(transport));
  }
} catch (const std::exception& error) {
  log_line(std::string("the socket: ") + error.what());
  stop();
}

void Server::accept_tls(TlsListener& listener) try {
  while (std::optional<AcceptedTls> accepted = listener.accept()) greeter_.take_tls(std::move(*accepted));
} catch (const std::exception& error) {
  log_line("listening on " + to_string(listener.address()) + ": " + error.what());
  stop();
}

// What a client may do is looked up when its link begins, and from then on by clients_changed().
void Server::take_link(std::unique_ptr<link::TargetLink> link) {
  const std::string client = client_of_peer(link->peer());
  if (client.empty()) return sessions_.submit(std::move(link), access::Access::owner());
  const std::lock_guard guard(mutex_);
  const auto record = clients_.by_name(client);
  if (!record) return;  // revoked since its line was accepted
  admitted_[client] = *record;
  sessions_.submit(std::move(link), access::Access::client(*record));
}

// Whose record is gone, revoked or another than it was loses its sessions now; it may come back as what it is now.
void Server::clients_changed() {
  const std::lock_guard guard(mutex_);
  for (const std::string& name : sessions_.clients()) {
    std::optional<access::ClientRecord> now;
    try {
      now = clients_.by_name(name);
    } catch (const Error& error) {
      log_line(std::string("clients: ") + error.what());
    }
    const auto admitted = admitted_.find(name);
    if (now && admitted != admitted_.end()) {
      access::ClientRecord before = admitted->second;
      before.client_uuid = now->client_uuid;  // it was bound: nothing was taken from it
      if (before == *now) continue;
    }
    log_line("client " + name + (now ? " was changed" : " was revoked") + ": its sessions end");
    const std::string sentence = "client " + name + (now ? " was changed: connect again" : " was revoked by the target's administrator");
    links_->end(peer_of_client(name), std::string(error_code_name(now ? ErrorCode::unreachable : ErrorCode::permission)), sentence);
    sessions_.end_sessions_of(name);
  }
}

void Server::run() {
  std::unique_lock guard(mutex_);
  while (stops_ == 0) {
    if (options_.idle_exit.count() == 0) {
      changed_.wait(guard);
      continue;
    }
    const auto idle = sessions_.idle_for();
    if (idle >= options_.idle_exit) break;
    changed_.wait_for(guard, options_.idle_exit - idle);
  }
  guard.unlock();
  stop_listening();
  // What an aborted session has sent is kept: the next one finds it in the store.
  const auto until = std::chrono::steady_clock::now() + grace;
  guard.lock();
  while (stops_ < 2 && sessions_.count() > 0 && std::chrono::steady_clock::now() < until)
    changed_.wait_for(guard, std::chrono::milliseconds(100));
  guard.unlock();
  links_->end_all(std::string(error_code_name(ErrorCode::unreachable)), "the target is shutting down");
  sessions_.abort_all();
}

void Server::stop() noexcept {
  const std::lock_guard guard(mutex_);
  ++stops_;
  changed_.notify_all();
}

void Server::stop_listening() noexcept {
  local_->stop();
  for (const auto& listener : tls_) listener->stop();
}

}  // namespace vmferry::target_server
