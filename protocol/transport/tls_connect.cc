// connect_tls: name, addresses, TCP, handshake, all within one time and on the calling thread.
#include <algorithm>

#include "protocol/error.h"
#include "protocol/transport/asio.h"
#include "protocol/transport/tcp_connect.h"
#include "protocol/transport/tcp_resolve.h"
#include "protocol/transport/tls.h"
#include "protocol/transport/tls_handshake.h"
#include "protocol/transport/tls_transport.h"

namespace vmferry {
namespace {

using Clock = std::chrono::steady_clock;

std::chrono::milliseconds time_until(Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  return std::max(left, std::chrono::milliseconds(0));
}

// An error of the line says nothing of whose it was.
[[noreturn]] void rethrow_with_name(const std::exception_ptr& failure, const HostPort& where) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    if (!error.object().empty()) throw;
    throw Error(error.code(), "cannot reach the target", to_string(where), error.what());
  }
}

}  // namespace

std::unique_ptr<Transport> connect_tls(const HostPort& where, const TlsConnectOptions& options) {
  const auto deadline = Clock::now() + options.timeout;
  auto engine = std::make_unique<TlsEngine>(tls_client_context(options.identity), to_string(where), options.server);
  OwnedSocket connected =
      connect_tcp(where, resolve_tcp(where, options.timeout), options.dscp, time_until(deadline));
  std::unique_ptr<Transport> transport;
  std::exception_ptr failure;
  asio::io_context context(1);
  TlsHandshake::start(context, std::move(connected), std::move(engine), time_until(deadline),
                      [&](std::exception_ptr error, OwnedSocket socket, std::unique_ptr<TlsEngine> shaken) {
                        failure = std::move(error);
                        if (!failure) transport = make_tls_transport(std::move(socket), std::move(shaken));
                      });
  context.run();  // the handshake's deadline bounds it
  if (failure) rethrow_with_name(failure, where);
  return transport;
}

}  // namespace vmferry
