#include "tests/support/byte_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/error.h"

namespace vmferry::test {
namespace {

constexpr std::size_t buffer_bytes = 64 * 1024;

struct Descriptor {
  explicit Descriptor(int number) : fd(number) {
    if (fd < 0) throw system_error(errno, "the byte proxy lacks a descriptor", {});
  }
  ~Descriptor() { ::close(fd); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  const int fd;
};

void make_reset(int socket) {  // when it is closed
  const linger at_once = {1, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

// One direction of one connection: at most a buffer on its way.
class Direction {
 public:
  Direction(int from, int to, const ByteFault& fault, std::atomic<std::uint64_t>& total)
      : from_(from), to_(to), fault_(fault), total_(total) {}

  short wants_of_source() const { return !ended_ && !stalled_ && pending_.empty() ? POLLIN : 0; }
  short wants_of_sink() const { return pending_.empty() ? 0 : POLLOUT; }
  bool done() const { return ended_ && pending_.empty(); }

  // False: the connection is to be reset.
  bool move() {
    if (pending_.empty() && !ended_ && !stalled_ && !take()) return false;
    return give();
  }

 private:
  bool take() {
    pending_.resize(buffer_bytes);
    const ssize_t count = ::recv(from_, pending_.data(), pending_.size(), MSG_DONTWAIT);
    if (count < 0) {
      pending_.clear();
      return errno == EAGAIN || errno == EINTR;
    }
    pending_.resize(static_cast<std::size_t>(count));
    if (count == 0) {
      end();
      return true;
    }
    return swallowing_ || harm();
  }

  bool harm() {
    const std::uint64_t begin = passed_;
    passed_ += pending_.size();
    if (fault_.kind == ByteFault::Kind::none || fault_.at >= passed_ || fault_.at < begin) return true;
    const std::size_t at = static_cast<std::size_t>(fault_.at - begin);
    if (fault_.kind == ByteFault::Kind::flip) {
      pending_[at] ^= std::byte{1};
      return true;
    }
    pending_.resize(at);
    after_ = fault_.kind;
    return true;
  }

  bool give() {
    while (!pending_.empty()) {
      if (swallowing_) {
        pending_.clear();
        break;
      }
      const ssize_t count = ::send(to_, pending_.data(), pending_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count < 0) return errno == EAGAIN || errno == EINTR;
      pending_.erase(pending_.begin(), pending_.begin() + count);
      total_ += static_cast<std::uint64_t>(count);
    }
    if (after_ == ByteFault::Kind::reset) return false;
    if (after_ == ByteFault::Kind::stall) stalled_ = true;
    if (after_ == ByteFault::Kind::end && !swallowing_) {
      ::shutdown(to_, SHUT_WR);
      swallowing_ = true;
    }
    return true;
  }

  void end() {
    ended_ = true;
    if (!swallowing_) ::shutdown(to_, SHUT_WR);
  }

  const int from_, to_;
  const ByteFault fault_;
  std::atomic<std::uint64_t>& total_;
  Bytes pending_;
  std::uint64_t passed_ = 0;
  ByteFault::Kind after_ = ByteFault::Kind::none;
  bool ended_ = false, stalled_ = false, swallowing_ = false;
};

struct Connection {
  Connection(int accepted, int connected, const ByteFault& up_fault, const ByteFault& down_fault,
             std::atomic<std::uint64_t>& up_total, std::atomic<std::uint64_t>& down_total)
      : client(accepted),
        target(connected),
        up(client.fd, target.fd, up_fault, up_total),
        down(target.fd, client.fd, down_fault, down_total) {}

  // False: it is over.
  bool move() {
    if (up.move() && down.move()) return !(up.done() && down.done());
    reset();
    return false;
  }
  void reset() {
    make_reset(client.fd);
    make_reset(target.fd);
  }

  Descriptor client, target;
  Direction up, down;
};

int listen_on_loopback() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(socket, 64) != 0)
    throw system_error(errno, "the byte proxy cannot listen", {});
  return socket;
}

// -1: nobody is there.
int connect_to(const HostPort& target) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (::getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &wanted, &found) != 0) return -1;
  const int socket = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool there = ::connect(socket, found->ai_addr, found->ai_addrlen) == 0;
  ::freeaddrinfo(found);
  if (there) return socket;
  ::close(socket);
  return -1;
}

}  // namespace

class ByteProxy::Pump {
 public:
  explicit Pump(const HostPort& target) : target_(target), listener_(listen_on_loopback()), wake_(::eventfd(0, EFD_CLOEXEC)) {
    thread_ = std::thread([this] { run(); });
  }
  ~Pump() {
    stopping_ = true;
    wake();
    thread_.join();
    for (Connection& connection : connections_) connection.reset();
  }

  HostPort address() const {
    sockaddr_in name{};
    socklen_t size = sizeof name;
    ::getsockname(listener_.fd, reinterpret_cast<sockaddr*>(&name), &size);
    return {"127.0.0.1", ntohs(name.sin_port)};
  }

  void set_faults(const ByteFault& up, const ByteFault& down) {
    const std::lock_guard lock(mutex_);
    up_ = up;
    down_ = down;
  }

  void reset_all() {
    const std::uint64_t turn = ++resets_wanted_;
    wake();
    resets_done_.wait(turn - 1);
  }

  std::atomic<std::uint64_t> accepted = 0, up_total = 0, down_total = 0;

 private:
  void wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.fd, &one, sizeof one);
  }

  void run() {
    std::vector<pollfd> waiting;
    while (!stopping_) {
      waiting.assign({{wake_.fd, POLLIN, 0}, {listener_.fd, POLLIN, 0}});
      for (const Connection& each : connections_) {
        waiting.push_back({each.client.fd, static_cast<short>(each.up.wants_of_source() | each.down.wants_of_sink()), 0});
        waiting.push_back({each.target.fd, static_cast<short>(each.down.wants_of_source() | each.up.wants_of_sink()), 0});
        // Who is asked for nothing must not wake us with its hang-up for ever.
        for (auto end = waiting.end() - 2; end != waiting.end(); ++end)
          if (end->events == 0) end->fd = -1;
      }
      ::poll(waiting.data(), waiting.size(), -1);
      if (waiting[0].revents != 0) take_orders();
      connections_.remove_if([](Connection& each) { return !each.move(); });
      if (waiting[1].revents != 0) accept_one();
    }
  }

  void take_orders() {
    std::uint64_t ignored = 0;
    [[maybe_unused]] const auto count = ::read(wake_.fd, &ignored, sizeof ignored);
    const std::uint64_t wanted = resets_wanted_;
    if (wanted == resets_done_) return;
    for (Connection& connection : connections_) connection.reset();
    connections_.clear();
    resets_done_ = wanted;
    resets_done_.notify_all();
  }

  void accept_one() {
    const int client = ::accept4(listener_.fd, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    ++accepted;
    const int target = connect_to(target_);
    if (target < 0) {
      make_reset(client);
      ::close(client);
      return;
    }
    const std::lock_guard lock(mutex_);
    connections_.emplace_back(client, target, up_, down_, up_total, down_total);
  }

  const HostPort target_;
  const Descriptor listener_, wake_;
  std::mutex mutex_;
  ByteFault up_, down_;
  std::list<Connection> connections_;
  std::atomic<std::uint64_t> resets_wanted_ = 0, resets_done_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

ByteProxy::ByteProxy(const HostPort& target) : pump_(std::make_unique<Pump>(target)) {}
ByteProxy::~ByteProxy() = default;
HostPort ByteProxy::address() const { return pump_->address(); }
void ByteProxy::set_faults(const ByteFault& up, const ByteFault& down) { pump_->set_faults(up, down); }
void ByteProxy::reset_all() { pump_->reset_all(); }
std::uint64_t ByteProxy::connections() const { return pump_->accepted; }
std::uint64_t ByteProxy::up_bytes() const { return pump_->up_total; }
std::uint64_t ByteProxy::down_bytes() const { return pump_->down_total; }

}  // namespace vmferry::test
