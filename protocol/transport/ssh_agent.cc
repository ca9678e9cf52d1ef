#include "protocol/transport/ssh_agent.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "protocol/transport/ssh_keys.h"

namespace vmferry {
namespace {

// draft-miller-ssh-agent
constexpr std::byte request_identities{11}, identities_answer{12}, sign_request{13}, sign_response{14};
constexpr std::size_t answer_bytes_max = 256 * 1024;
constexpr std::size_t identities_max = 256;

}  // namespace

std::unique_ptr<SshAgent> SshAgent::connect(Clock::time_point deadline) {
  const char* path = std::getenv("SSH_AUTH_SOCK");
  sockaddr_un address{};
  if (path == nullptr || *path == 0 || std::strlen(path) >= sizeof address.sun_path) return nullptr;
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path);
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return nullptr;
  // To a Unix socket this does not take its time: it works, or the agent is overrun.
  if (::connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return nullptr;
  return std::unique_ptr<SshAgent>(new SshAgent(std::move(socket), deadline));
}

std::vector<SshAgent::Identity> SshAgent::identities() {
  std::vector<Identity> found;
  const auto answer = ask(std::span(&request_identities, 1), identities_answer);
  if (!answer) return found;
  ByteView rest(*answer);
  const auto count = take_ssh_u32(rest);
  for (std::uint32_t i = 0; count && i < *count && i < identities_max; ++i) {
    const auto key = take_ssh_string(rest), comment = take_ssh_string(rest);
    if (!key || !comment) break;
    found.push_back({Bytes(key->begin(), key->end()), std::string(as_text(*comment))});
  }
  return found;
}

std::optional<Bytes> SshAgent::sign(ByteView key, ByteView data) {
  Bytes request{sign_request};
  append_ssh_string(request, key);
  append_ssh_string(request, data);
  append_ssh_u32(request, 0);  // flags, of which only RSA has any
  const auto answer = ask(request, sign_response);
  if (!answer) return std::nullopt;
  ByteView rest(*answer);
  const auto signature = take_ssh_string(rest);
  if (!signature) return std::nullopt;
  ByteView parts = *signature;
  const auto type = take_ssh_string(parts), value = take_ssh_string(parts);
  if (!type || !value) return std::nullopt;
  return Bytes(value->begin(), value->end());
}

std::optional<Bytes> SshAgent::ask(ByteView request, std::byte answer_type) {
  Bytes message;
  append_ssh_string(message, request);
  std::array<std::byte, 4> length_bytes;
  if (!send_all(message) || !receive_all(length_bytes)) return std::nullopt;
  ByteView view(length_bytes);
  const std::uint32_t length = *take_ssh_u32(view);
  if (length == 0 || length > answer_bytes_max) return std::nullopt;
  Bytes answer(length);
  if (!receive_all(answer) || answer[0] != answer_type) return std::nullopt;
  answer.erase(answer.begin());
  return answer;
}

bool SshAgent::send_all(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket_.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    } else if ((errno != EAGAIN && errno != EINTR) || !wait_for(POLLOUT)) {
      return false;
    }
  }
  return true;
}

bool SshAgent::receive_all(std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t count = ::recv(socket_.number(), into.data(), into.size(), 0);
    if (count > 0) {
      into = into.subspan(static_cast<std::size_t>(count));
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR) || !wait_for(POLLIN)) {
      return false;
    }
  }
  return true;
}

bool SshAgent::wait_for(short events) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
  pollfd waiting = {socket_.number(), events, 0};
  return left.count() > 0 && ::poll(&waiting, 1, static_cast<int>(left.count())) > 0;
}

}  // namespace vmferry
