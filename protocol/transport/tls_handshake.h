// TlsHandshake: the handshake of one connection, without blocking, on the thread that runs its io_context; all calls are
// made there. For the .cc files of TLS only.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <memory>

#include "protocol/transport/asio.h"
#include "protocol/transport/tls_engine.h"
#include "protocol/transport/tcp_socket.h"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

namespace vmferry {

class TlsHandshake : public std::enable_shared_from_this<TlsHandshake> {
 public:
  // Called once, unless cancel() comes first. Without an error the engine's handshake is done and its output sent.
  using Done = std::function<void(std::exception_ptr error, OwnedSocket socket, std::unique_ptr<TlsEngine> engine)>;

  // done is not called from within start().
  static std::shared_ptr<TlsHandshake> start(asio::io_context& context, OwnedSocket socket,
                                             std::unique_ptr<TlsEngine> engine, std::chrono::milliseconds timeout,
                                             Done done);
  void cancel() noexcept;

  // Use start().
  TlsHandshake(asio::io_context& context, OwnedSocket socket, std::unique_ptr<TlsEngine> engine, Done done);

 private:
  void begin(std::chrono::milliseconds timeout);
  void step();
  void advance();
  bool send_output();  // false: the rest must wait
  void wait(asio::posix::stream_descriptor::wait_type what);
  void end(std::exception_ptr error);

  asio::posix::stream_descriptor socket_;
  asio::steady_timer deadline_;
  std::unique_ptr<TlsEngine> engine_;
  Done done_;
  bool shaken_ = false;
};

}  // namespace vmferry
