#include "protocol/transport/tls_transport.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "protocol/error.h"
#include "protocol/transport/tcp_limits.h"

namespace vmferry {
namespace {

constexpr std::size_t receive_bytes_min = 18 * 1024;  // a record and its frame
constexpr std::size_t receive_bytes_max = 256 * 1024;
constexpr int quiet_after_ms = 1000;

class TlsTransport final : public Transport {
 public:
  TlsTransport(OwnedSocket socket, std::unique_ptr<TlsEngine> engine)
      : socket_(std::move(socket)), engine_(std::move(engine)) {}

  // The kernel sends on what was finished. What was not is no use to the peer, which learns so at once.
  ~TlsTransport() override {
    if (!finished_) reset_tcp(socket_.get());
    if (left_) discard_received(socket_.get());
  }

  void send(std::span<const ByteView> parts) override {
    if (finished_) throw Error(ErrorCode::failed, "the session sends after its end");
    std::array<std::byte, tls_record_bytes> joined;  // small parts share a record
    std::size_t joined_bytes = 0;
    for (ByteView part : parts) {
      while (!part.empty()) {
        if (joined_bytes == 0 && part.size() >= tls_record_bytes) {
          const std::size_t whole = std::min(part.size() - part.size() % tls_record_bytes, tls_output_bytes_max);
          encrypt(part.first(whole));
          part = part.subspan(whole);
          continue;
        }
        const std::size_t count = std::min(part.size(), joined.size() - joined_bytes);
        std::memcpy(joined.data() + joined_bytes, part.data(), count);
        joined_bytes += count;
        part = part.subspan(count);
        if (joined_bytes == joined.size()) encrypt(ByteView(joined).first(std::exchange(joined_bytes, 0)));
      }
    }
    encrypt(ByteView(joined).first(joined_bytes));
    flush();
  }

  std::size_t receive(std::span<std::byte> into) override {
    if (into.empty()) return 0;
    while (true) {
      {
        const std::lock_guard lock(engine_mutex_);
        if (aborted_) throw_aborted();
        if (left_) return 0;
        const std::size_t count = engine_->read(into);
        received_bytes_ += count;
        if (count > 0 || engine_->ended()) return count;
      }
      try {
        take_in();
      } catch (const Error&) {
        if (!left_) throw;
      }
    }
  }

  void finish_sending() override {
    if (finished_.exchange(true) || cut_short_) return;
    try {
      {
        const std::lock_guard lock(engine_mutex_);
        engine_->finish();
      }
      flush();
    } catch (const Error&) {
      // The peer is gone, or we aborted: receive() tells.
    }
  }

  void leave() noexcept override {
    left_ = true;
    ::shutdown(socket_.get(), SHUT_RD);  // wakes who waits for the peer
  }

  void abort() noexcept override {
    aborted_ = true;
    reset_tcp(socket_.get());
  }

  TransportCounts counts() const noexcept override { return {sent_bytes_, received_bytes_}; }

  bool is_held_back() noexcept override { return limits_.is_held_back(socket_.get()); }

 private:
  [[noreturn]] static void throw_aborted() {
    throw Error(ErrorCode::unreachable, "the other end of the session is gone", {}, "the session was ended here");
  }

  void encrypt(ByteView bytes) {
    bool full = false;
    {
      const std::lock_guard lock(engine_mutex_);
      if (aborted_) throw_aborted();
      if (cut_short_) throw Error(ErrorCode::unreachable, "the other end of the session is gone");
      engine_->write(bytes);
      full = engine_->output().size() >= tls_output_bytes_max;
    }
    sent_bytes_ += bytes.size();
    if (full) flush();
  }

  // Sends what the engine wants sent, without the lock, so that receiving goes on meanwhile. The sending thread's.
  void flush() {
    while (true) {
      Bytes sending;
      {
        const std::lock_guard lock(engine_mutex_);
        if (engine_->output().empty()) return;
        std::swap(sending, engine_->output());
      }
      cut_short_ = true;  // should this throw: what the peer got then ends inside a record
      for (ByteView rest = sending; !rest.empty();) {
        if (aborted_) throw_aborted();
        const std::size_t count = send_some(socket_.get(), rest);
        rest = rest.subspan(count);
        if (count == 0) wait_until_writable();
      }
      cut_short_ = false;
      sending.clear();
      const std::lock_guard lock(engine_mutex_);
      if (engine_->output().empty()) std::swap(sending, engine_->output());  // its room is used again
    }
  }

  // A peer's bare end of the stream reaches us even where it reads nothing and so lets nothing more be written.
  void wait_until_writable() {
    pollfd descriptor = {socket_.get(), POLLOUT | POLLRDHUP, 0};
    wait(descriptor, -1);
    if (descriptor.revents & POLLRDHUP) throw Error(ErrorCode::unreachable, "the other end of the session is gone");
  }

  // At least one byte of what arrived into the engine.
  void take_in() {
    while (true) {
      const std::span<std::byte> room = engine_->input_room(receive_bytes_).first(receive_bytes_);
      const std::size_t count = receive_some(socket_.get(), room);
      engine_->input_arrived(count);
      if (count == room.size()) receive_bytes_ = std::min(receive_bytes_ * 2, receive_bytes_max);
      if (count > 0) return;
      pollfd descriptor = {socket_.get(), POLLIN, 0};
      if (wait(descriptor, quiet_after_ms)) continue;
      receive_bytes_ = receive_bytes_min;
      engine_->release_input();
      {
        const std::lock_guard lock(engine_mutex_);
        engine_->release_output();
      }
      wait(descriptor, -1);
    }
  }

  // False: nothing happened in this time.
  static bool wait(pollfd& descriptor, int timeout_ms) {
    int ready = 0;
    do {
      ready = ::poll(&descriptor, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready < 0) throw system_error(errno, "cannot wait for the network", {});
    return ready > 0;
  }

  OwnedSocket socket_;
  TcpLimits limits_;
  std::mutex engine_mutex_;
  std::unique_ptr<TlsEngine> engine_;
  bool cut_short_ = false;                         // the sending thread's
  std::size_t receive_bytes_ = receive_bytes_min;  // the receiving thread's
  std::atomic<std::uint64_t> sent_bytes_ = 0, received_bytes_ = 0;
  std::atomic<bool> finished_ = false, aborted_ = false, left_ = false;
};

}  // namespace

std::unique_ptr<Transport> make_tls_transport(OwnedSocket socket, std::unique_ptr<TlsEngine> engine) {
  return std::make_unique<TlsTransport>(std::move(socket), std::move(engine));
}

}  // namespace vmferry
