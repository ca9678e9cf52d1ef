// Transport: one ordered, reliable, full-duplex pipe of bytes between controller and target. One thread may send
// while another receives; abort() and leave() may come from any thread. Memory, Unix socket, TLS, SSH, a program's pipes and
// links: all pass tests/conformance/transport.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <utility>

#include "protocol/bytes.h"

namespace vmferry {

struct TransportCounts {
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Sends all parts in order; blocks while the peer does not read (back pressure). Throws Error{unreachable}.
  virtual void send(std::span<const ByteView> parts) = 0;
  // At least one byte, at most into.size(); 0 at the peer's clean end. Throws Error{unreachable}.
  virtual std::size_t receive(std::span<std::byte> into) = 0;
  // Half-close: the peer sees the end after what was sent; receiving goes on.
  virtual void finish_sending() = 0;
  // After finish_sending(), by whoever has all that it wanted, and knows from the peer that it has all but some last words:
  // these still go, but no answer is waited for, and receive() ends at once where the peer's end would cost a round trip.
  virtual void leave() noexcept {}
  // Both directions end at once; blocked calls here and at the peer throw Error{unreachable}.
  virtual void abort() noexcept = 0;
  virtual TransportCounts counts() const noexcept = 0;
  // While there is more to carry than goes through: whether a second transport to the same peer would carry more, by how it
  // went since the last call. From one thread. Most cannot tell.
  virtual bool is_held_back() noexcept { return true; }
};

// Two ends in one process, each direction bounded to buffer_bytes.
std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> memory_transport(std::size_t buffer_bytes = 4 << 20);

// Unix stream socket. Throws Error{unreachable} with the sentence that says what to start.
std::unique_ptr<Transport> connect_unix(const std::filesystem::path& socket);

// Listens with mode 0600; replaces a socket that nobody serves. accept() returns null after stop().
class UnixListener {
 public:
  virtual ~UnixListener() = default;
  virtual std::unique_ptr<Transport> accept() = 0;
  virtual void stop() noexcept = 0;  // from any thread, and safe to call from a signal-handling thread
};
std::unique_ptr<UnixListener> listen_unix(const std::filesystem::path& socket);

}  // namespace vmferry
