// SshAgent: the user's key agent (SSH_AUTH_SOCK), as far as we need it: which keys it holds, and its signatures. Our own,
// since libssh2's waits for an agent without bound. Calls wait until the deadline at most. One thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/transport/descriptor.h"

namespace vmferry {

class SshAgent {
 public:
  using Clock = std::chrono::steady_clock;
  struct Identity {
    Bytes key;  // the public blob
    std::string comment;
  };

  // null: there is none, or it does not answer.
  static std::unique_ptr<SshAgent> connect(Clock::time_point deadline);

  // Empty where it does not answer as an agent does.
  std::vector<Identity> identities();
  // The signature's value, without its type; nullopt: it refused, or the user did.
  std::optional<Bytes> sign(ByteView key, ByteView data);

 private:
  SshAgent(Descriptor socket, Clock::time_point deadline) : socket_(std::move(socket)), deadline_(deadline) {}
  // The answer's payload, if it is of the expected type.
  std::optional<Bytes> ask(ByteView request, std::byte answer_type);
  bool send_all(ByteView bytes);
  bool receive_all(std::span<std::byte> into);
  bool wait_for(short events);

  Descriptor socket_;
  const Clock::time_point deadline_;
};

}  // namespace vmferry
