// Names to addresses, within a time. The system's own resolver (getaddrinfo: files, DNS, whatever nsswitch.conf says).
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <vector>

#include "protocol/transport/host_port.h"

namespace vmferry {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t bytes = 0;
  int family() const noexcept { return storage.ss_family; }
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

// What a name is resolved for, and so what is said where it cannot be: Error{unreachable, "cannot reach the target"} or
// Error{not_found, "cannot listen"}.
enum class ResolveFor { reaching, listening };

// At least one, at most 16; IPv6 and IPv4 alternate where there are both, in the system's order of preference.
std::vector<SocketAddress> resolve_tcp(const HostPort& where, std::chrono::milliseconds timeout,
                                       ResolveFor purpose = ResolveFor::reaching);
HostPort host_port_of(const SocketAddress& address);  // an IPv4 address in IPv6's clothes becomes one

}  // namespace vmferry
