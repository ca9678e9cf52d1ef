// connect_tls: name, addresses, TCP, handshake, all within one time and on the calling thread.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "protocol/error.h"
#include "protocol/transport/asio.h"
#include "protocol/transport/tcp_resolve.h"
#include "protocol/transport/tls.h"
#include "protocol/transport/tls_engine.h"
#include "protocol/transport/tls_handshake.h"
#include "protocol/transport/tls_socket.h"
#include "protocol/transport/tls_transport.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

namespace vmferry {
namespace {

using Tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

// After so long without an answer the next address is tried as well (RFC 8305, 5).
constexpr std::chrono::milliseconds next_address_after{250};
constexpr std::size_t addresses_max = 16;

Error unreachable(const HostPort& where, const std::string& why) {
  return Error(ErrorCode::unreachable, "cannot reach the target", to_string(where), why);
}

std::string seconds_text(std::chrono::milliseconds time) {
  return time.count() % 1000 == 0 ? std::to_string(time.count() / 1000) + " s" : std::to_string(time.count()) + " ms";
}

std::string advice_for(const boost::system::error_code& why) {
  switch (why.value()) {
    case ECONNREFUSED: return "connection refused: is vmferry-target serve running there, and is the port right?";
    case ENETUNREACH:
    case EHOSTUNREACH: return std::string(std::strerror(why.value())) + ": check the address and this host's routes";
    default: return std::strerror(why.value());
  }
}

// TcpRace: tries the addresses one after the other, the next one as soon as one fails or takes its time, until one
// connects. One thread, that of its io_context.
class TcpRace {
 public:
  TcpRace(asio::io_context& context, std::vector<SocketAddress> addresses, std::optional<unsigned> dscp)
      : context_(context), addresses_(std::move(addresses)), dscp_(dscp), next_(context) {
    if (addresses_.size() > addresses_max) addresses_.resize(addresses_max);
    tries_.reserve(addresses_.size());  // handlers keep indices, the sockets stay where they are
    start_next();
  }

  bool over() const { return winner_.has_value() || failed_ == addresses_.size(); }

  // Null: none connected (yet).
  std::optional<Tcp::socket> take_winner() { return std::move(winner_); }

  std::string why_not() const {
    std::string text;
    for (const auto& [address, why] : faults_)
      text += (text.empty() ? "" : "; ") + (addresses_.size() > 1 ? address + ": " : "") + why;
    return text;
  }

 private:
  void start_next() {
    if (tries_.size() == addresses_.size() || winner_) return;
    const std::size_t number = tries_.size();
    const SocketAddress& address = addresses_[number];
    Tcp::socket& socket = tries_.emplace_back(context_);
    try {
      OwnedSocket made = new_tcp_socket(address.family());
      set_up_tcp(made.get(), dscp_);
      socket.assign(address.family() == AF_INET6 ? Tcp::v6() : Tcp::v4(), made.get());
      made.release();
    } catch (const std::exception& error) {
      return fail(number, error.what());
    }
    Tcp::endpoint endpoint;
    endpoint.resize(address.bytes);
    std::memcpy(endpoint.data(), address.get(), address.bytes);
    socket.async_connect(endpoint, [this, number](const boost::system::error_code& why) {
      if (why == asio::error::operation_aborted || winner_) return;
      if (why) return fail(number, advice_for(why));
      winner_ = std::move(tries_[number]);
      tries_.clear();
      next_.cancel();
    });
    next_.expires_after(next_address_after);
    next_.async_wait([this](const boost::system::error_code& cancelled) {
      if (!cancelled) start_next();
    });
  }

  void fail(std::size_t number, const std::string& why) {
    ++failed_;
    faults_.emplace_back(host_port_of(addresses_[number]).host, why);
    start_next();
  }

  asio::io_context& context_;
  std::vector<SocketAddress> addresses_;
  std::optional<unsigned> dscp_;
  asio::steady_timer next_;
  std::vector<Tcp::socket> tries_;
  std::optional<Tcp::socket> winner_;
  std::size_t failed_ = 0;
  std::vector<std::pair<std::string, std::string>> faults_;
};

Tcp::socket await_winner(TcpRace& race, asio::io_context& context, const HostPort& where,
                         std::chrono::milliseconds timeout, Clock::time_point deadline) {
  while (!race.over() && Clock::now() < deadline) context.run_one_until(deadline);
  if (auto winner = race.take_winner()) return std::move(*winner);
  if (race.over()) throw unreachable(where, race.why_not());
  throw unreachable(where, "no answer within " + seconds_text(timeout) +
                               ": is the host up, and does a firewall let the port through?" +
                               (race.why_not().empty() ? "" : " (" + race.why_not() + ")"));
}

}  // namespace

std::unique_ptr<Transport> connect_tls(const HostPort& where, const TlsConnectOptions& options) {
  const auto deadline = Clock::now() + options.timeout;
  auto engine = std::make_unique<TlsEngine>(tls_client_context(options.identity), to_string(where), options.server);
  asio::io_context context(1);
  TcpRace race(context, resolve_tcp(where, options.timeout), options.dscp);  // lives as long as handlers may be called
  Tcp::socket socket = await_winner(race, context, where, options.timeout, deadline);
  std::unique_ptr<Transport> transport;
  std::exception_ptr failure;
  const auto time_left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  TlsHandshake::start(std::move(socket), std::move(engine), std::max(time_left, std::chrono::milliseconds(0)),
                      [&](std::exception_ptr error, OwnedSocket connected, std::unique_ptr<TlsEngine> shaken) {
                        failure = std::move(error);
                        if (!failure) transport = make_tls_transport(std::move(connected), std::move(shaken));
                      });
  context.restart();
  context.run();  // the handshake's deadline bounds it
  if (!failure) return transport;
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unreachable || !error.object().empty()) throw;
    throw unreachable(where, error.what());
  }
}

}  // namespace vmferry
