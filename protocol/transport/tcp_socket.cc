#include "protocol/transport/tcp_socket.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "protocol/error.h"

namespace vmferry {
namespace {

[[noreturn]] void throw_gone(const std::string& why) {
  throw Error(ErrorCode::unreachable, "the other end of the session is gone", {}, why);
}

bool may_come_later(int error_number) noexcept {
  return error_number == EAGAIN || error_number == EWOULDBLOCK || error_number == EINTR;
}

}  // namespace

OwnedSocket& OwnedSocket::operator=(OwnedSocket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

OwnedSocket::~OwnedSocket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

OwnedSocket new_tcp_socket(int family) {
  OwnedSocket made(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (made.get() < 0) throw system_error(errno, "cannot make a socket", {});
  return made;
}

void set_up_tcp(int socket, std::optional<unsigned> dscp) noexcept {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (!dscp) return;
  const int tos = static_cast<int>(*dscp << 2);
  ::setsockopt(socket, IPPROTO_IP, IP_TOS, &tos, sizeof tos);  // also of an IPv6 socket that carries IPv4
  ::setsockopt(socket, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof tos);
}

std::size_t send_some(int socket, ByteView bytes) {
  const ssize_t count = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count >= 0) return static_cast<std::size_t>(count);
  if (may_come_later(errno)) return 0;
  throw_gone(std::strerror(errno));
}

std::size_t receive_some(int socket, std::span<std::byte> into) {
  const ssize_t count = ::recv(socket, into.data(), into.size(), MSG_DONTWAIT);
  if (count > 0) return static_cast<std::size_t>(count);
  if (count == 0) throw_gone("the connection was cut");  // an end would have been said in TLS
  if (may_come_later(errno)) return 0;
  throw_gone(std::strerror(errno));
}

void discard_received(int socket) noexcept {
  std::array<std::byte, 16 * 1024> dropped;
  for (int i = 0; i < 64; ++i)
    if (::recv(socket, dropped.data(), dropped.size(), MSG_DONTWAIT) <= 0) return;
}

void reset_tcp(int socket) noexcept {
  // Dissolving the association sends a reset even where the peer reads nothing, which shutdown() would wait for; the
  // descriptor stays ours, so no other thread can meet a stranger's file under its number.
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  if (::connect(socket, &nobody, sizeof nobody) != 0) ::shutdown(socket, SHUT_RDWR);
}

}  // namespace vmferry
