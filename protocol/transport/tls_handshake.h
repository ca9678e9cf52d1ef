// TlsHandshake: the handshake of one connection, without blocking, on the thread that runs its io_context; all calls are
// made there. For the .cc files of TLS only.
#pragma once

#include <array>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>

#include "protocol/transport/asio.h"
#include "protocol/transport/tls_engine.h"
#include "protocol/transport/tls_socket.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

namespace vmferry {

class TlsHandshake : public std::enable_shared_from_this<TlsHandshake> {
 public:
  // Called once, unless cancel() comes first. Without an error the engine's handshake is done and its output sent.
  using Done = std::function<void(std::exception_ptr error, OwnedSocket socket, std::unique_ptr<TlsEngine> engine)>;

  static std::shared_ptr<TlsHandshake> start(asio::ip::tcp::socket socket, std::unique_ptr<TlsEngine> engine,
                                             std::chrono::milliseconds timeout, Done done);
  void cancel() noexcept;

  // Use start().
  TlsHandshake(asio::ip::tcp::socket socket, std::unique_ptr<TlsEngine> engine, Done done);

 private:
  void step();
  void advance();
  bool send_output();  // false: the rest must wait
  void wait(asio::ip::tcp::socket::wait_type what);
  void end(std::exception_ptr error);

  asio::ip::tcp::socket socket_;
  asio::steady_timer deadline_;
  std::unique_ptr<TlsEngine> engine_;
  Done done_;
  bool shaken_ = false;
};

}  // namespace vmferry
