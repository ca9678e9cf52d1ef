#include "protocol/transport/tcp_connect.h"

#include <cerrno>
#include <cstring>

#include "protocol/error.h"
#include "protocol/transport/asio.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

namespace vmferry {
namespace {

using Tcp = asio::ip::tcp;

constexpr std::chrono::milliseconds next_address_after{250};

Error unreachable(const HostPort& where, const std::string& why) {
  return Error(ErrorCode::unreachable, "cannot reach the target", to_string(where), why);
}

std::string advice_for(int error_number, const char* server) {
  const std::string text = std::strerror(error_number);
  switch (error_number) {
    case ECONNREFUSED: return text + ": is " + server + " running there, and is the port right?";
    case ENETUNREACH:
    case EHOSTUNREACH: return text + ": check the address and this host's routes";
    default: return text;
  }
}

std::string time_text(std::chrono::milliseconds time) {
  if (time < std::chrono::seconds(2)) return std::to_string(time.count()) + " ms";
  return std::to_string(std::chrono::round<std::chrono::seconds>(time).count()) + " s";
}

// TcpRace: one thread's. Its context is its own, so no handler outlives it.
class TcpRace {
 public:
  TcpRace(const std::vector<SocketAddress>& addresses, std::optional<unsigned> dscp, const char* server)
      : addresses_(addresses), dscp_(dscp), server_(server), next_(context_) {
    tries_.reserve(addresses.size());  // handlers keep indices
    start_next();
  }

  // False: nobody has won within this time.
  bool run(std::chrono::milliseconds timeout) {
    context_.run_for(timeout);  // returns early when nothing is left to wait for
    return winner_.get() >= 0;
  }

  bool all_failed() const { return faults_.size() == addresses_.size(); }
  OwnedSocket take_winner() { return std::move(winner_); }

  std::string faults() const {
    std::string text;
    for (const auto& [address, why] : faults_)
      text += (text.empty() ? "" : "; ") + (addresses_.size() > 1 ? address + ": " : "") + why;
    return text;
  }

 private:
  void start_next() {
    if (tries_.size() == addresses_.size()) return;
    const std::size_t number = tries_.size();
    const SocketAddress& address = addresses_[number];
    Tcp::socket& socket = tries_.emplace_back(context_);
    try {
      OwnedSocket made = new_tcp_socket(address.family());
      set_up_tcp(made.get(), dscp_);
      socket.assign(address.family() == AF_INET6 ? Tcp::v6() : Tcp::v4(), made.get());
      made.release();
    } catch (const std::exception& error) {  // a kernel without IPv6 cannot even make its socket
      return fail(number, error.what());
    }
    Tcp::endpoint endpoint;
    endpoint.resize(address.bytes);
    std::memcpy(endpoint.data(), address.get(), address.bytes);
    socket.async_connect(endpoint, [this, number](const boost::system::error_code& why) { end_try(number, why); });
    next_.expires_after(next_address_after);
    next_.async_wait([this](const boost::system::error_code& cancelled) {
      if (!cancelled && winner_.get() < 0) start_next();
    });
  }

  void end_try(std::size_t number, const boost::system::error_code& why) {
    if (winner_.get() >= 0) return;
    if (why) return fail(number, advice_for(why.value(), server_));
    winner_ = OwnedSocket(tries_[number].release());
    context_.stop();
  }

  void fail(std::size_t number, const std::string& why) {
    faults_.emplace_back(host_port_of(addresses_[number]).host, why);
    start_next();
  }

  const std::vector<SocketAddress>& addresses_;
  const std::optional<unsigned> dscp_;
  const char* const server_;
  asio::io_context context_{1};
  asio::steady_timer next_;
  std::vector<Tcp::socket> tries_;
  OwnedSocket winner_;
  std::vector<std::pair<std::string, std::string>> faults_;  // address, why
};

}  // namespace

OwnedSocket connect_tcp(const HostPort& where, const std::vector<SocketAddress>& addresses, std::optional<unsigned> dscp,
                        std::chrono::milliseconds timeout, const char* server) {
  TcpRace race(addresses, dscp, server);
  if (race.run(timeout)) return race.take_winner();
  if (race.all_failed()) throw unreachable(where, race.faults());
  const std::string others = race.faults();
  throw unreachable(where, "no answer within " + time_text(timeout) +
                               ": is the host up, and does a firewall let the port through?" +
                               (others.empty() ? "" : " (" + others + ")"));
}

}  // namespace vmferry
