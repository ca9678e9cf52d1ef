// A TCP connection to a host that has several addresses: they are tried one after the other, the next one as soon as one
// fails or takes its time, until one connects ("happy eyeballs", RFC 8305). On the calling thread.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "protocol/transport/host_port.h"
#include "protocol/transport/tcp_resolve.h"
#include "protocol/transport/tcp_socket.h"

namespace vmferry {

// Throws Error{unreachable, "cannot reach the target", "host:port", ...} with what each address said. where and server (who
// ought to listen there): for sentences.
OwnedSocket connect_tcp(const HostPort& where, const std::vector<SocketAddress>& addresses, std::optional<unsigned> dscp,
                        std::chrono::milliseconds timeout, const char* server = "vmferry-target serve");

}  // namespace vmferry
