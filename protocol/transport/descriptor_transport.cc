#include "protocol/transport/descriptor_transport.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "protocol/error.h"

namespace vmferry {
namespace {

bool is_socket(int descriptor) {
  struct stat facts {};
  return ::fstat(descriptor, &facts) == 0 && S_ISSOCK(facts.st_mode);
}

void make_non_blocking(int descriptor) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || ::fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0)
    throw system_error(errno, "cannot prepare a pipe", {});
}

std::vector<iovec> vectors_of(std::span<const ByteView> parts) {
  std::vector<iovec> vectors;
  vectors.reserve(parts.size());
  for (const ByteView part : parts)
    if (!part.empty()) vectors.push_back({const_cast<std::byte*>(part.data()), part.size()});  // only read from
  return vectors;
}

// What is left after `count` bytes of them went out.
std::span<iovec> rest_of(std::span<iovec> vectors, std::size_t count) {
  while (!vectors.empty() && count >= vectors.front().iov_len) {
    count -= vectors.front().iov_len;
    vectors = vectors.subspan(1);
  }
  if (count > 0) {
    vectors.front().iov_base = static_cast<std::byte*>(vectors.front().iov_base) + count;
    vectors.front().iov_len -= count;
  }
  return vectors;
}

}  // namespace

DescriptorTransport::DescriptorTransport(Descriptor in, Descriptor out, Descriptor beside)
    : in_(std::move(in)),
      out_(std::move(out)),
      beside_(std::move(beside)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      out_is_socket_(is_socket(out_.number())),
      beside_ended_(!beside_.is_open()) {
  if (!wake_.is_open()) throw system_error(errno, "cannot make an event descriptor", {});
  for (const Descriptor* each : {&in_, &out_, &beside_})
    if (each->is_open()) make_non_blocking(each->number());
}

void DescriptorTransport::send(std::span<const ByteView> parts) {
  std::vector<iovec> vectors = vectors_of(parts);
  std::span<iovec> rest(vectors);
  while (!rest.empty()) {
    if (aborted_) throw_gone(0);
    msghdr message{};
    message.msg_iov = rest.data();
    message.msg_iovlen = std::min<std::size_t>(rest.size(), IOV_MAX);
    const ssize_t count =
        out_is_socket_ ? ::sendmsg(out_.number(), &message, MSG_NOSIGNAL)
                       : ::writev(out_.number(), message.msg_iov, static_cast<int>(message.msg_iovlen));
    if (count >= 0) {
      sent_bytes_ += static_cast<std::uint64_t>(count);
      rest = rest_of(rest, static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      wait_for(out_.number(), POLLOUT);
    } else if (errno != EINTR) {
      throw_gone(errno);
    }
  }
}

std::size_t DescriptorTransport::receive(std::span<std::byte> into) {
  for (;;) {
    if (aborted_) throw_gone(0);
    const ssize_t count = ::read(in_.number(), into.data(), into.size());
    if (count > 0) {
      received_bytes_ += static_cast<std::uint64_t>(count);
      return static_cast<std::size_t>(count);
    }
    if (count == 0) {
      confirm_end();
      if (aborted_) throw_gone(0);
      return 0;
    }
    if (errno == EAGAIN) {
      wait_for(in_.number(), POLLIN);
    } else if (errno != EINTR) {
      throw_gone(errno);
    }
  }
}

void DescriptorTransport::finish_sending() {
  finished_ = true;
  const std::lock_guard lock(out_closing_);
  if (out_is_socket_) {
    ::shutdown(out_.number(), SHUT_WR);
  } else {
    out_.close();
  }
}

void DescriptorTransport::abort() noexcept {
  aborted_ = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_.number(), &one, sizeof one);
}

bool DescriptorTransport::out_is_broken(int timeout_ms) {
  const std::lock_guard lock(out_closing_);
  if (finished_ || !out_.is_open()) return false;
  pollfd waiting = {out_.number(), 0, 0};
  return ::poll(&waiting, 1, timeout_ms) > 0;
}

void DescriptorTransport::wait_for(int descriptor, short events) {
  std::array<pollfd, 3> waiting = {{{descriptor, events, 0}, {wake_.number(), POLLIN, 0},
                                    {beside_ended_ ? -1 : beside_.number(), POLLIN, 0}}};
  if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR)
    throw system_error(errno, "cannot wait for a pipe", {});
  if (waiting[2].revents != 0) drain_beside();
}

void DescriptorTransport::drain_beside() {
  const std::lock_guard lock(beside_reading_);
  std::array<std::byte, 4096> buffer;
  while (!beside_ended_) {
    const ssize_t count = ::read(beside_.number(), buffer.data(), buffer.size());
    if (count > 0) {
      read_beside(ByteView(buffer).first(static_cast<std::size_t>(count)));
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      beside_ended_ = true;
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

}  // namespace vmferry
