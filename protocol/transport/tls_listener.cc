// listen_tls: accepting and handshakes on the IoLoop, a bounded number at a time; accept() hands out what is finished.
// Whoever waits longest gives way to the next, so that peers that say nothing keep nobody out.
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <future>
#include <list>
#include <mutex>

#include "protocol/error.h"
#include "protocol/transport/asio.h"
#include "protocol/transport/io_loop.h"
#include "protocol/transport/tcp_resolve.h"
#include "protocol/transport/tls.h"
#include "protocol/transport/tls_engine.h"
#include "protocol/transport/tls_handshake.h"
#include "protocol/transport/tcp_socket.h"
#include "protocol/transport/tls_transport.h"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

namespace vmferry {
namespace {

using Clock = std::chrono::steady_clock;
using AsioDescriptor = asio::posix::stream_descriptor;

// When the process is out of descriptors the pending connection stays pending, and the kernel would wake us for ever.
constexpr std::chrono::milliseconds accept_again_after{100};
constexpr std::chrono::milliseconds resolve_timeout{10'000};

OwnedSocket listening_socket(const HostPort& where) {
  if (where.host.empty())
    throw Error(ErrorCode::usage, "no address to listen on", to_string(where), "[::] stands for all, IPv4 too");
  const SocketAddress address = resolve_tcp(where, resolve_timeout, ResolveFor::listening).front();
  OwnedSocket made = new_tcp_socket(address.family());
  const int on = 1, off = 0;
  ::setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.family() == AF_INET6) ::setsockopt(made.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(made.get(), address.get(), address.bytes) != 0 || ::listen(made.get(), SOMAXCONN) != 0) {
    if (errno == EADDRINUSE)
      throw Error(ErrorCode::busy, "cannot listen", to_string(where), "another program listens there already");
    if (errno == EADDRNOTAVAIL)
      throw Error(ErrorCode::not_found, "cannot listen", to_string(where), "this host has no such address");
    throw system_error(errno, "cannot listen", to_string(where));
  }
  return made;
}

SocketAddress name_of(int socket, int (*which)(int, sockaddr*, socklen_t*)) {
  SocketAddress address;
  address.bytes = sizeof address.storage;
  if (which(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.bytes) != 0) address.bytes = 0;
  return address;
}

// Listening: what accept() and the loop share. Finished connections under the mutex; everything else is the loop's.
class Listening : public std::enable_shared_from_this<Listening> {
 public:
  Listening(asio::io_context& context, OwnedSocket socket, const TlsIdentity& identity, const TlsListenOptions& options)
      : tls_(tls_server_context(identity)), options_(options), context_(context), acceptor_(context), again_(context) {
    acceptor_.assign(socket.get());
    socket.release();
  }

  int descriptor() { return acceptor_.native_handle(); }

  std::optional<AcceptedTls> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopped_ || !finished_.empty(); });
    if (stopped_) return std::nullopt;
    AcceptedTls accepted = std::move(finished_.front());
    finished_.pop_front();
    lock.unlock();
    asio::post(context_, [self = shared_from_this()] { self->listen(); });
    return accepted;
  }

  void stop() noexcept {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

  // --- on the loop

  void listen() {
    if (waiting_ || !acceptor_.is_open() || !has_room()) return;
    waiting_ = true;
    acceptor_.async_wait(AsioDescriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& why) {
      self->waiting_ = false;
      if (!why) self->take_connections();
    });
  }

  void close() noexcept {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    again_.cancel();
    for (const UnderWay& each : handshakes_) each.handshake->cancel();
    handshakes_.clear();
  }

 private:
  struct UnderWay {
    Clock::time_point since;
    std::shared_ptr<TlsHandshake> handshake;
  };

  bool has_room() {
    const std::lock_guard lock(mutex_);
    return !stopped_ && finished_.size() < options_.handshakes_max;
  }

  // False: it is full of handshakes that are too young to close, and so is looked at again.
  bool make_room() {
    {
      const std::lock_guard lock(mutex_);
      if (handshakes_.empty() || handshakes_.size() + finished_.size() < options_.handshakes_max) return true;
    }
    const auto age = Clock::now() - handshakes_.front().since;
    if (age < options_.give_way_after) {
      listen_after(options_.give_way_after - age);
      return false;
    }
    handshakes_.front().handshake->cancel();
    handshakes_.pop_front();
    return true;
  }

  void take_connections() {
    while (has_room()) {
      if (!make_room()) return;
      OwnedSocket socket(::accept4(descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket.get() < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) return listen_after(accept_again_after);
        if (errno == EAGAIN || errno == EWOULDBLOCK) break;
        if (errno == EBADF || errno == EINVAL) return;
        continue;  // that one connection failed before we got to it
      }
      try {
        shake_hands(std::move(socket));
      } catch (const std::exception&) {
        // Out of memory or descriptors: this peer is dropped, and tries again.
      }
    }
    listen();
  }

  void listen_after(Clock::duration pause) {
    again_.expires_after(pause);
    again_.async_wait([self = shared_from_this()](const boost::system::error_code& cancelled) {
      if (!cancelled) self->listen();
    });
  }

  void shake_hands(OwnedSocket connected) {
    set_up_tcp(connected.get(), options_.dscp);
    const SocketAddress peer = name_of(connected.get(), ::getpeername);
    const std::string address = to_string(host_port_of(peer));
    auto engine = std::make_unique<TlsEngine>(tls_, address, std::nullopt);
    auto number = std::make_shared<std::weak_ptr<TlsHandshake>>();
    const auto handshake = TlsHandshake::start(
        context_, std::move(connected), std::move(engine), options_.handshake_timeout,
        [self = shared_from_this(), number, address](std::exception_ptr error, OwnedSocket shaken_socket,
                                                     std::unique_ptr<TlsEngine> shaken) {
          std::erase_if(self->handshakes_, [&](const UnderWay& each) { return each.handshake == number->lock(); });
          if (!error) self->finish(std::move(shaken_socket), std::move(shaken), address);
          self->listen();
        });
    *number = handshake;
    handshakes_.push_back({Clock::now(), handshake});
  }

  void finish(OwnedSocket socket, std::unique_ptr<TlsEngine> engine, const std::string& address) {
    AcceptedTls accepted;
    accepted.client = engine->peer();
    accepted.address = address;
    accepted.transport = make_tls_transport(std::move(socket), std::move(engine));
    const std::lock_guard lock(mutex_);
    finished_.push_back(std::move(accepted));
    changed_.notify_one();
  }

  const TlsContext tls_;
  const TlsListenOptions options_;
  asio::io_context& context_;
  AsioDescriptor acceptor_;
  asio::steady_timer again_;
  bool waiting_ = false;
  std::list<UnderWay> handshakes_;  // the oldest first

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<AcceptedTls> finished_;
  bool stopped_ = false;
};

class Listener final : public TlsListener {
 public:
  Listener(const HostPort& where, const TlsIdentity& identity, const TlsListenOptions& options)
      : loop_(io_loop()),
        listening_(std::make_shared<Listening>(loop_->context(), listening_socket(where), identity, options)),
        address_(host_port_of(name_of(listening_->descriptor(), ::getsockname))) {
    asio::post(loop_->context(), [listening = listening_] { listening->listen(); });
  }

  // Once this returns the port is free, and no handshake goes on.
  ~Listener() override {
    listening_->stop();
    std::promise<void> closed;
    asio::post(loop_->context(), [&] {
      listening_->close();
      closed.set_value();
    });
    closed.get_future().wait();
  }

  std::optional<AcceptedTls> accept() override { return listening_->next(); }
  void stop() noexcept override { listening_->stop(); }
  HostPort address() const override { return address_; }

 private:
  std::shared_ptr<IoLoop> loop_;
  std::shared_ptr<Listening> listening_;
  HostPort address_;
};

}  // namespace

std::unique_ptr<TlsListener> listen_tls(const HostPort& where, const TlsIdentity& identity,
                                        const TlsListenOptions& options) {
  return std::make_unique<Listener>(where, identity, options);
}

}  // namespace vmferry
