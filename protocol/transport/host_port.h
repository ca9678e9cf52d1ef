// HostPort: where a target listens, as "backup.example:7447", "192.0.2.7:7447" or "[2001:db8::7]:7447".
#pragma once

#include <cstdint>
#include <string>

namespace vmferry {

inline constexpr std::uint16_t default_port = 7447;

struct HostPort {
  std::string host;  // a name or an address, without brackets
  std::uint16_t port = default_port;
  auto operator<=>(const HostPort&) const = default;
};

// Throws Error{usage}. Without a port: port_default.
HostPort parse_host_port(const std::string& text, std::uint16_t port_default = default_port);
std::string to_string(const HostPort& where);

}  // namespace vmferry
