// The Unix socket transport. Calls block; abort() and stop() wake them.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "protocol/error.h"
#include "protocol/transport/asio.h"
#include "protocol/transport/transport.h"

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>

namespace vmferry {
namespace {

using Stream = asio::local::stream_protocol;

[[noreturn]] void throw_gone(const boost::system::error_code& why) {
  throw Error(ErrorCode::unreachable, "the other end of the session is gone", {}, why.message());
}

Stream::endpoint endpoint_of(const std::filesystem::path& socket) {
  constexpr std::size_t path_bytes_max = 107;  // sockaddr_un
  if (socket.native().empty() || socket.native().size() > path_bytes_max)
    throw Error(ErrorCode::usage, "this path cannot be a socket's", socket.string(), "it may have 1 to 107 bytes");
  return Stream::endpoint(socket.string());
}

class UnixTransport final : public Transport {
 public:
  // context: kept alive as long as its socket.
  UnixTransport(std::shared_ptr<asio::io_context> context, Stream::socket socket)
      : context_(std::move(context)), socket_(std::move(socket)) {}

  void send(std::span<const ByteView> parts) override {
    std::vector<asio::const_buffer> buffers;
    buffers.reserve(parts.size());
    for (const ByteView part : parts) buffers.emplace_back(part.data(), part.size());
    boost::system::error_code why;
    sent_bytes_ += asio::write(socket_, buffers, why);
    if (why) throw_gone(why);
  }

  std::size_t receive(std::span<std::byte> into) override {
    boost::system::error_code why;
    const std::size_t count = socket_.read_some(asio::mutable_buffer(into.data(), into.size()), why);
    received_bytes_ += count;
    if (why == asio::error::eof && ended_cleanly()) return 0;
    if (why) throw_gone(why);
    return count;
  }

  void finish_sending() override {
    finished_ = true;
    boost::system::error_code gone_already;
    socket_.shutdown(Stream::socket::shutdown_send, gone_already);
  }

  void abort() noexcept override {
    aborted_ = true;
    boost::system::error_code gone_already;
    socket_.shutdown(Stream::socket::shutdown_both, gone_already);
  }

  TransportCounts counts() const noexcept override { return {sent_bytes_, received_bytes_}; }

 private:
  // A peer that only finished sending still reads; one that aborted, died or closed does neither, which poll() calls
  // a hang-up. Once we have finished too, both look the same, and nothing is lost by calling it the end.
  bool ended_cleanly() {
    if (aborted_) return false;
    if (finished_) return true;
    pollfd descriptor = {socket_.native_handle(), POLLIN, 0};
    return ::poll(&descriptor, 1, 0) >= 0 && (descriptor.revents & POLLHUP) == 0;
  }

  std::shared_ptr<asio::io_context> context_;
  Stream::socket socket_;
  std::atomic<std::uint64_t> sent_bytes_ = 0, received_bytes_ = 0;
  std::atomic<bool> finished_ = false, aborted_ = false;
};

class SocketListener final : public UnixListener {
 public:
  explicit SocketListener(const std::filesystem::path& socket)
      : path_(socket), context_(std::make_shared<asio::io_context>(1)), acceptor_(*context_) {
    const Stream::endpoint endpoint = endpoint_of(socket);
    remove_stale(endpoint);
    stopped_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stopped_ < 0) throw system_error(errno, "cannot make an event descriptor", {});
    boost::system::error_code why;
    acceptor_.open(endpoint.protocol(), why);
    if (!why) acceptor_.bind(endpoint, why);
    // Nobody can connect between bind and listen, so the mode is right before the first peer.
    if (!why && ::chmod(socket.c_str(), 0600) != 0) why.assign(errno, boost::system::system_category());
    if (!why) acceptor_.listen(Stream::acceptor::max_listen_connections, why);
    if (!why) acceptor_.non_blocking(true, why);
    if (why) {
      ::close(stopped_);
      throw system_error(why.value(), "cannot listen on the socket", socket.string());
    }
    struct stat made {};
    if (::stat(path_.c_str(), &made) == 0) inode_ = made.st_ino;
  }

  ~SocketListener() override {
    struct stat there {};
    if (::stat(path_.c_str(), &there) == 0 && there.st_ino == inode_) ::unlink(path_.c_str());
    ::close(stopped_);
  }

  std::unique_ptr<Transport> accept() override {
    while (true) {
      std::array<pollfd, 2> waiting = {{{acceptor_.native_handle(), POLLIN, 0}, {stopped_, POLLIN, 0}}};
      if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR)
        throw system_error(errno, "cannot wait for a connection", path_.string());
      if (waiting[1].revents != 0) return nullptr;
      if (waiting[0].revents == 0) continue;
      auto context = std::make_shared<asio::io_context>(1);
      Stream::socket socket(*context);
      boost::system::error_code why;
      acceptor_.accept(socket, why);
      if (why == asio::error::would_block || why == asio::error::connection_aborted ||
          why == asio::error::interrupted)
        continue;
      if (why) throw system_error(why.value(), "cannot accept a connection", path_.string());
      return std::make_unique<UnixTransport>(std::move(context), std::move(socket));
    }
  }

  void stop() noexcept override {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(stopped_, &one, sizeof one);
  }

 private:
  void remove_stale(const Stream::endpoint& endpoint) {
    struct stat there {};
    if (::lstat(path_.c_str(), &there) != 0) return;
    if (!S_ISSOCK(there.st_mode))
      throw Error(ErrorCode::exists, "cannot make a socket", path_.string(), "a file of this name is there");
    boost::system::error_code why;
    Stream::socket probe(*context_);
    probe.connect(endpoint, why);
    if (!why) throw Error(ErrorCode::busy, "the socket is served already", path_.string(), "stop that server first");
    if (why != asio::error::connection_refused)
      throw system_error(why.value(), "cannot tell whether the socket is served", path_.string());
    if (::unlink(path_.c_str()) != 0) throw system_error(errno, "cannot remove the old socket", path_.string());
  }

  std::filesystem::path path_;
  std::shared_ptr<asio::io_context> context_;
  Stream::acceptor acceptor_;
  int stopped_ = -1;
  ::ino_t inode_ = 0;
};

}  // namespace

std::unique_ptr<Transport> connect_unix(const std::filesystem::path& socket) {
  const Stream::endpoint endpoint = endpoint_of(socket);
  auto context = std::make_shared<asio::io_context>(1);
  Stream::socket connection(*context);
  boost::system::error_code why;
  connection.connect(endpoint, why);
  if (why == asio::error::access_denied)
    throw Error(ErrorCode::unreachable, "cannot reach the target", socket.string(),
                "permission denied: run as the user who started it");
  if (why)
    throw Error(ErrorCode::unreachable, "cannot reach the target", socket.string(),
                why.message() + "; start it with: vmferry-target serve --store DIR --socket " + socket.string());
  return std::make_unique<UnixTransport>(std::move(context), std::move(connection));
}

std::unique_ptr<UnixListener> listen_unix(const std::filesystem::path& socket) {
  return std::make_unique<SocketListener>(socket);
}

}  // namespace vmferry
