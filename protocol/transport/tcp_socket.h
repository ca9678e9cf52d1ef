// A TCP socket without blocking: who owns it, how it is set up, and the three things that are done to it.
#pragma once

#include <optional>
#include <span>
#include <utility>

#include "protocol/bytes.h"

namespace vmferry {

// OwnedSocket: closes what it holds.
class OwnedSocket {
 public:
  OwnedSocket() = default;
  explicit OwnedSocket(int descriptor) noexcept : descriptor_(descriptor) {}
  OwnedSocket(OwnedSocket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  OwnedSocket& operator=(OwnedSocket&& other) noexcept;
  ~OwnedSocket();
  int get() const noexcept { return descriptor_; }
  int release() noexcept { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_ = -1;
};

// Non-blocking, closed on exec. Throws Error{failed}.
OwnedSocket new_tcp_socket(int family);
// Small packets are not held back; the packets carry this DSCP, as far as the system lets us.
void set_up_tcp(int socket, std::optional<unsigned> dscp) noexcept;

// How many bytes went; 0: none may go now (the kernel's buffer is full, or nothing has arrived). Throw Error{unreachable},
// receive_some() also at the end of the stream.
std::size_t send_some(int socket, ByteView bytes);
std::size_t receive_some(int socket, std::span<std::byte> into);

// What arrived and nobody read would make close() reset the connection, and drop what is still to be sent.
void discard_received(int socket) noexcept;

// Ends both directions at once: wakes whoever polls here, resets the connection for the peer. From any thread.
void reset_tcp(int socket) noexcept;

}  // namespace vmferry
