// SshSession: the one adapter of libssh2: SSH's protocol as a client, without any input or output of its own. Bytes from the
// host are put in, bytes for it are taken out, and libssh2 is never told that it would block when it sends: so none of its
// calls is left half done with a packet under way (which must be repeated, with the same arguments and from the same
// depth of the stack). A step that needs more bytes from the host says `waits`: put more in, and call it again.
//
// Not thread-safe: one thread at a time. Every step throws Error{unreachable} when the connection is broken or the
// host breaks the protocol; after that only the destructor may be called.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "protocol/bytes.h"

struct _LIBSSH2_SESSION;
struct _LIBSSH2_CHANNEL;

namespace vmferry {

enum class Step { done, waits };

// One command of many that the host does not run; the connection is as it was.
class ChannelRefused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// How a command ended on the far host.
struct CommandEnd {
  int exit_code = 0;
  std::string signal;  // "KILL"; empty: it exited
  bool is_success() const noexcept { return exit_code == 0 && signal.empty(); }
};

class SshSession {
 public:
  using Channel = _LIBSSH2_CHANNEL*;
  // A signature's value; nullopt: no.
  using Sign = std::function<std::optional<Bytes>(ByteView data)>;
  enum class Accepted { yes, no, waits };

  // socket: of which libssh2 reads the flags. host_key_types: what to ask the host for, the best first.
  SshSession(int socket, const std::vector<std::string>& host_key_types);
  ~SshSession();
  SshSession(const SshSession&) = delete;
  SshSession& operator=(const SshSession&) = delete;

  // --- bytes
  Bytes& input() noexcept { return input_; }    // append what the host sent
  void input_ended() noexcept { ended_ = true; }
  Bytes& output() noexcept { return output_; }  // take all of it, and send it

  // --- the beginning, in this order
  Step handshake();  // Error{refused}: no common algorithm, or the host does not have the key that it shows
  Bytes host_key() const;
  // The ways of authentication that the host names: "publickey,password". nullopt: waits.
  std::optional<std::string> authentication_methods(const std::string& user);
  Accepted authenticate(const std::string& user, ByteView public_key, const Sign& sign);
  Accepted authenticate_with_file(const std::string& user, const std::string& private_key);

  // --- commands; their channels belong to the session
  // null: waits. One at a time: until it came, no other is asked for.
  Channel open_channel(std::uint32_t window_bytes);
  Step execute(Channel channel, const std::string& command);
  // How much was taken; 0: the host's window is full.
  std::size_t write(Channel channel, ByteView bytes);
  // How much there was; 0: nothing now, see ended().
  std::size_t read(Channel channel, std::span<std::byte> into);
  std::size_t read_error_stream(Channel channel, std::span<std::byte> into);
  bool ended(Channel channel);                         // nothing more will come of either stream
  Step send_end(Channel channel);
  std::optional<CommandEnd> command_end(Channel channel);  // after ended(); nullopt: the host has not closed it yet
  Step close(Channel channel);                         // and frees it
  // Takes in what the host sent, whether or not any channel's data is wanted now. Bounded by the channels' windows.
  void take_input(Channel channel);

 private:
  friend struct SshSessionBytes;
  [[noreturn]] void fail(const std::string& what_happened);
  Step wait(const char* what_if_ended);  // throws that where the host has closed the connection
  Accepted accepted(int result);
  std::size_t read_stream(Channel channel, int stream, std::span<std::byte> into);

  int socket_ = -1;
  _LIBSSH2_SESSION* session_ = nullptr;
  Bytes input_, output_;
  std::size_t input_taken_ = 0;
  bool ended_ = false, discarding_ = false, hung_up_ = false;
  std::string host_said_;  // when it hung up
};

}  // namespace vmferry
