// TlsTransport: an established TLS connection as a Transport. Content is encrypted and decrypted on the threads that
// send and receive, each connection on its own, so one connection's work never waits for another's; the kernel's socket
// buffers, which it sizes by the line, are the bounded buffers. A connection that is quiet for a second keeps no buffer.
// For the .cc files of TLS only.
#pragma once

#include <memory>

#include "protocol/transport/tls_engine.h"
#include "protocol/transport/tcp_socket.h"
#include "protocol/transport/transport.h"

namespace vmferry {

// The engine's handshake is done, and its output sent.
std::unique_ptr<Transport> make_tls_transport(OwnedSocket socket, std::unique_ptr<TlsEngine> engine);

}  // namespace vmferry
