#include "protocol/transport/ssh_connection.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <future>
#include <mutex>

#include "protocol/error.h"
#include "protocol/transport/asio.h"
#include "protocol/transport/io_loop.h"
#include "protocol/transport/ssh_channel.h"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

namespace vmferry {
namespace {

using Tcp = asio::ip::tcp;

// What the host may send of one channel before its reader takes it: this much a round trip. Libssh2 holds it meanwhile.
constexpr std::uint32_t channel_window_bytes = 8u << 20;
constexpr std::size_t ring_bytes = 1u << 20;
// What is encrypted ahead of the socket, and read at once: a few milliseconds of work, for the loop is everybody's.
constexpr std::size_t output_bytes_max = 256 * 1024;
constexpr std::size_t input_bytes = 128 * 1024;
constexpr std::chrono::milliseconds linger{5'000};

// Connection: owned by its handlers and by Use. All but request_pump() and start() runs on the loop.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(asio::io_context& context, OwnedSocket socket, bool is_v6, std::unique_ptr<SshSession> session)
      : context_(context), socket_(context), session_(std::move(session)), received_(input_bytes) {
    socket_.assign(is_v6 ? Tcp::v6() : Tcp::v4(), socket.get());
    socket.release();
  }

  // From any thread.
  void request_pump() {
    if (!pump_requested_.exchange(true)) asio::post(context_, [self = shared_from_this()] { self->pump(); });
  }
  void start(std::shared_ptr<SshChannel> channel, const std::string& command) {
    {
      const std::lock_guard lock(starts_mutex_);
      starts_.push_back({std::move(channel), command});
    }
    request_pump();
  }

  // Nobody uses it any more.
  void end() noexcept {
    running_.clear();
    session_.reset();
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

 private:
  struct Start {
    std::shared_ptr<SshChannel> channel;
    std::string command;
  };
  struct Running {
    std::shared_ptr<SshChannel> channel;
    std::string command;
    SshSession::Channel handle = nullptr;
    enum class State { executing, open, closing } state = State::executing;
    bool input_ended = false, command_ended = false;
  };

  void pump() {
    pump_requested_ = false;
    if (!session_) return fail_starts();
    try {
      while (open_next()) {
      }
      // Whatever is wanted of it, what the host sent is taken in, so that neither its window adjustments nor its
      // questions whether we are alive wait for a slow reader.
      const auto open = std::find_if(running_.begin(), running_.end(),
                                     [](const Running& each) { return each.state == Running::State::open; });
      if (open != running_.end() && !session_->input().empty()) session_->take_input(open->handle);
      if (running_.size() > 1) std::rotate(running_.begin(), running_.begin() + 1, running_.end());  // each is the first in turn
      std::erase_if(running_, [&](Running& running) { return step(running); });
      if (input_ended_) throw Error(ErrorCode::unreachable, "the host closed the connection");
      write_some();
      read_some();
    } catch (const Error& error) {
      break_down(error);
    }
  }

  // True: a command's channel is open, and another one may be opened.
  bool open_next() {
    const std::lock_guard lock(starts_mutex_);
    if (starts_.empty()) return false;
    Start& start = starts_.front();
    try {
      const SshSession::Channel handle = session_->open_channel(channel_window_bytes);
      if (handle == nullptr) return false;
      running_.push_back({std::move(start.channel), std::move(start.command), handle});
    } catch (const ChannelRefused& refused) {
      start.channel->failed(Error(ErrorCode::unreachable, refused.what()));
    }
    starts_.pop_front();
    return true;
  }

  // True: the channel is closed and gone.
  bool step(Running& running) {
    if (running.channel->is_given_up()) running.state = Running::State::closing;
    if (running.state == Running::State::executing) execute(running);
    if (running.state == Running::State::open) {
      send(running);
      receive(running);
    }
    return running.state == Running::State::closing && session_->close(running.handle) == Step::done;
  }

  void execute(Running& running) {
    try {
      if (session_->execute(running.handle, running.command) == Step::waits) return;
      running.state = Running::State::open;
      running.channel->started();
    } catch (const ChannelRefused& refused) {
      running.channel->failed(Error(ErrorCode::refused, refused.what()));
      running.state = Running::State::closing;
    }
  }

  void send(Running& running) {
    while (!running.command_ended && session_->output().size() < output_bytes_max) {
      const ByteView waiting = running.channel->outgoing();
      const std::size_t count = waiting.empty() ? 0 : session_->write(running.handle, waiting);
      if (count == 0) break;
      running.channel->sent(count);
    }
    if (running.channel->wants_end() && session_->send_end(running.handle) == Step::done) running.channel->end_sent();
  }

  void receive(Running& running) {
    std::array<std::byte, 1024> said;
    while (const std::size_t count = session_->read_error_stream(running.handle, said))
      running.channel->said().add(as_text(ByteView(said).first(count)));
    for (std::span<std::byte> room = running.channel->incoming(); !room.empty(); room = running.channel->incoming()) {
      const std::size_t count = session_->read(running.handle, room);
      if (count == 0) break;
      running.channel->received(count);
    }
    if (!running.input_ended && session_->ended(running.handle)) {
      running.input_ended = true;
      running.channel->input_ended();
    }
    if (!running.input_ended || running.command_ended) return;
    const std::optional<CommandEnd> end = session_->command_end(running.handle);
    if (!end) return;
    running.command_ended = true;
    running.channel->command_ended(*end);
  }

  void write_some() {
    if (writing_ || session_->output().empty()) return;
    writing_ = true;
    sending_.swap(session_->output());
    asio::async_write(socket_, asio::buffer(sending_),
                      [self = shared_from_this()](const boost::system::error_code& why, std::size_t) {
                        self->writing_ = false;
                        self->sending_.clear();
                        if (why) return self->break_down(Error(ErrorCode::unreachable, "the connection broke", {}, why.message()));
                        self->pump();
                      });
  }

  void read_some() {
    if (reading_ || session_->input().size() >= input_bytes) return;
    reading_ = true;
    socket_.async_read_some(asio::buffer(received_),
                            [self = shared_from_this()](const boost::system::error_code& why, std::size_t count) {
                              self->reading_ = false;
                              self->take(why, count);
                            });
  }

  void take(const boost::system::error_code& why, std::size_t count) {
    if (!session_) return;
    Bytes& input = session_->input();
    input.insert(input.end(), received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(count));
    if (why == asio::error::eof) {
      input_ended_ = true;
    } else if (why) {
      return break_down(Error(ErrorCode::unreachable, "the connection broke", {}, why.message()));
    }
    pump();
  }

  void break_down(const Error& why) {
    if (!session_) return;
    for (Running& running : running_) running.channel->failed(why);
    end();
    fail_starts();
  }

  void fail_starts() {
    const std::lock_guard lock(starts_mutex_);
    for (Start& start : starts_) start.channel->failed(Error(ErrorCode::unreachable, "the connection is gone"));
    starts_.clear();
  }

  asio::io_context& context_;
  Tcp::socket socket_;
  std::unique_ptr<SshSession> session_;  // null: the connection is gone
  std::vector<Running> running_;
  Bytes received_, sending_;
  bool reading_ = false, writing_ = false, input_ended_ = false;
  std::atomic<bool> pump_requested_ = false;
  std::mutex starts_mutex_;
  std::deque<Start> starts_;
};

// Use: shared by whoever still needs the connection, which ends with the last of them.
class Use {
 public:
  Use(std::shared_ptr<IoLoop> loop, std::shared_ptr<Connection> connection)
      : loop_(std::move(loop)), connection_(std::move(connection)) {}
  ~Use() {
    std::promise<void> ended;
    asio::dispatch(loop_->context(), [&] {  // at once, where this is the loop's thread
      connection_->end();
      ended.set_value();
    });
    ended.get_future().wait();
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  Connection& connection() noexcept { return *connection_; }

 private:
  const std::shared_ptr<IoLoop> loop_;
  const std::shared_ptr<Connection> connection_;
};

class ChannelTransport final : public Transport {
 public:
  ChannelTransport(std::shared_ptr<Use> use, std::shared_ptr<SshChannel> channel)
      : use_(std::move(use)), channel_(std::move(channel)) {}
  ~ChannelTransport() override {
    channel_->linger(linger);
    channel_->release();
    use_->connection().request_pump();
  }

  void send(std::span<const ByteView> parts) override {
    for (ByteView part : parts) {
      while (!part.empty()) {
        const std::size_t before = part.size();
        const bool was_empty = channel_->put(part);
        sent_bytes_ += before - part.size();
        if (was_empty) use_->connection().request_pump();
      }
    }
  }
  std::size_t receive(std::span<std::byte> into) override {
    bool makes_room = false;
    const std::size_t count = channel_->get(into, makes_room);
    received_bytes_ += count;
    if (makes_room) use_->connection().request_pump();
    return count;
  }
  void finish_sending() override {
    channel_->finish();
    use_->connection().request_pump();
  }
  void abort() noexcept override {
    channel_->abort();
    use_->connection().request_pump();
  }
  TransportCounts counts() const noexcept override { return {sent_bytes_, received_bytes_}; }

 private:
  const std::shared_ptr<Use> use_;
  const std::shared_ptr<SshChannel> channel_;
  std::atomic<std::uint64_t> sent_bytes_ = 0, received_bytes_ = 0;
};

class RunningConnection final : public SshConnection {
 public:
  RunningConnection(std::shared_ptr<Use> use, const SshAddress& where, std::chrono::milliseconds timeout)
      : use_(std::move(use)), host_(where.host), timeout_(timeout) {}

  std::unique_ptr<Transport> run(const std::string& command) override {
    const auto channel = std::make_shared<SshChannel>(host_, ring_bytes);
    auto transport = std::make_unique<ChannelTransport>(use_, channel);
    use_->connection().start(channel, command);
    channel->wait_until_started(std::chrono::steady_clock::now() + timeout_);
    return transport;
  }

 private:
  const std::shared_ptr<Use> use_;
  const std::string host_;
  const std::chrono::milliseconds timeout_;
};

}  // namespace

std::shared_ptr<SshConnection> run_ssh_connection(OwnedSocket socket, std::unique_ptr<SshSession> session,
                                                  const SshAddress& where, std::chrono::milliseconds timeout) {
  auto loop = io_loop();
  sockaddr_storage local{};
  socklen_t local_bytes = sizeof local;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&local), &local_bytes);
  auto connection = std::make_shared<Connection>(loop->context(), std::move(socket), local.ss_family == AF_INET6,
                                                 std::move(session));
  auto use = std::make_shared<Use>(std::move(loop), std::move(connection));
  return std::make_shared<RunningConnection>(std::move(use), where, timeout);
}

}  // namespace vmferry
