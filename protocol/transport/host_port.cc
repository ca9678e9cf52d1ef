#include "protocol/transport/host_port.h"

#include <charconv>

#include "protocol/error.h"

namespace vmferry {
namespace {

constexpr std::size_t host_bytes_max = 253;

[[noreturn]] void not_an_address(const std::string& text) {
  throw Error(ErrorCode::usage, "not a host and port", text, "write HOST:PORT, or [ADDRESS]:PORT for IPv6");
}

std::uint16_t port_of(const std::string& digits, const std::string& text) {
  std::uint16_t port = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (fault != std::errc() || end != digits.data() + digits.size() || port == 0) not_an_address(text);
  return port;
}

}  // namespace

HostPort parse_host_port(const std::string& text, std::uint16_t port_default) {
  HostPort where;
  where.port = port_default;
  std::string rest;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string::npos) not_an_address(text);
    where.host = text.substr(1, close - 1);
    rest = text.substr(close + 1);
  } else {
    const std::size_t colon = text.find(':');
    where.host = text.substr(0, colon);
    if (colon != std::string::npos) rest = text.substr(colon);
    if (rest.find(':', 1) != std::string::npos) not_an_address(text);  // IPv6 wants brackets
  }
  if (!rest.empty()) {
    if (rest.front() != ':') not_an_address(text);
    where.port = port_of(rest.substr(1), text);
  }
  // No white space or control characters: the text goes to logs and, for ssh, to a command line.
  const bool plain = where.host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%") ==
                     std::string::npos;
  if (where.host.empty() || where.host.size() > host_bytes_max || where.host.starts_with('-') || !plain) not_an_address(text);
  return where;
}

std::string to_string(const HostPort& where) {
  const bool bracketed = where.host.find(':') != std::string::npos;
  return (bracketed ? "[" + where.host + "]" : where.host) + ":" + std::to_string(where.port);
}

}  // namespace vmferry
