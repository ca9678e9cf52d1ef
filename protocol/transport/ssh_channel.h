// SshChannel: what lies between a command's Transport, used by any threads, and its connection on the IoLoop: two bounded
// rings of bytes, and how far the command has come. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "protocol/bytes.h"
#include "protocol/error.h"
#include "protocol/transport/last_lines.h"
#include "protocol/transport/ssh_session.h"

namespace vmferry {

// A bounded queue of bytes. Not thread-safe; but what filled() or free() returned stays where it is until it is taken or
// added, whatever the other end does.
class ByteRing {
 public:
  explicit ByteRing(std::size_t capacity) : bytes_(capacity) {}
  bool is_empty() const noexcept { return size_ == 0; }
  bool is_full() const noexcept { return size_ == bytes_.size(); }
  // The part at the front, or the room at the back, that is in one piece.
  ByteView filled() const noexcept;
  std::span<std::byte> free() noexcept;
  void take(std::size_t count) noexcept;
  void add(std::size_t count) noexcept { size_ += count; }

 private:
  Bytes bytes_;
  std::size_t begin_ = 0, size_ = 0;
};

class SshChannel {
 public:
  SshChannel(std::string host, std::size_t ring_bytes) : host_(std::move(host)), out_(ring_bytes), in_(ring_bytes) {}

  // --- the transport's side. Each returns true where the connection has something to do now.
  void wait_until_started(std::chrono::steady_clock::time_point deadline);  // throws what start() failed with
  // Puts as much of it as there is room for, and waits for room first. Takes it off the front of `bytes`.
  bool put(ByteView& bytes);
  // How much there was; 0 at the clean end.
  std::size_t get(std::span<std::byte> into, bool& makes_room);
  void finish() noexcept;
  void abort() noexcept;
  // After finish(): until the far side has ended too, so that what was sent gets there.
  void linger(std::chrono::milliseconds at_most);
  void release() noexcept;  // nobody uses it any more

  // --- the connection's side, on the loop
  void started();
  void failed(const Error& why);  // the connection broke, or the command was not run
  bool is_given_up() const;       // aborted or released
  ByteView outgoing();
  void sent(std::size_t count);
  bool wants_end();               // finished, and all of it was sent
  void end_sent();
  std::span<std::byte> incoming();
  void received(std::size_t count);
  void input_ended();
  void command_ended(const CommandEnd& end);
  LastLines& said() noexcept { return said_; }

 private:
  [[noreturn]] void throw_failure();
  bool is_broken() const { return aborted_ || failure_ || (end_ && !end_->is_success()); }

  const std::string host_;
  LastLines said_;  // on its standard error
  mutable std::mutex mutex_;
  std::condition_variable changed_, room_;
  ByteRing out_, in_;
  bool is_started_ = false, finished_ = false, end_is_sent_ = false, aborted_ = false, released_ = false;
  bool input_ended_ = false, held_back_ = false;
  std::optional<CommandEnd> end_;
  std::optional<Error> failure_;
};

}  // namespace vmferry
