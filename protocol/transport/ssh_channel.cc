#include "protocol/transport/ssh_channel.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace vmferry {
namespace {

// Whether an end was clean, the command's exit code says, which comes right after the end; but not from a command that
// ended its output only, and goes on reading.
constexpr std::chrono::milliseconds exit_code_grace{500};

constexpr int exit_code_not_found = 127;

std::string fate_of(const CommandEnd& end) {
  if (!end.signal.empty()) return "was ended by signal " + end.signal;
  if (end.exit_code == 0) return "has ended";
  return "ended with exit code " + std::to_string(end.exit_code);
}

}  // namespace

ByteView ByteRing::filled() const noexcept {
  return ByteView(bytes_).subspan(begin_, std::min(size_, bytes_.size() - begin_));
}

std::span<std::byte> ByteRing::free() noexcept {
  const std::size_t end = (begin_ + size_) % bytes_.size();
  return std::span(bytes_).subspan(end, std::min(bytes_.size() - size_, bytes_.size() - end));
}

void ByteRing::take(std::size_t count) noexcept {
  begin_ = (begin_ + count) % bytes_.size();
  size_ -= count;
}

void SshChannel::throw_failure() {
  if (aborted_) throw Error(ErrorCode::unreachable, "the connection was given up", host_);
  if (failure_) throw *failure_;
  std::string said = said_.text();
  if (end_ && end_->exit_code == exit_code_not_found)
    said += (said.empty() ? "" : "; ") + std::string("is vmferry-target installed there, where commands over ssh find it?");
  throw Error(ErrorCode::unreachable, "the command on the far host " + (end_ ? fate_of(*end_) : "is gone"), host_, said);
}

void SshChannel::wait_until_started(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_until(lock, deadline, [&] { return is_started_ || is_broken(); })) {
    aborted_ = true;
    throw Error(ErrorCode::unreachable, "the host does not start the command", host_, "it took too long");
  }
  if (is_broken()) throw_failure();
}

bool SshChannel::put(ByteView& bytes) {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return is_broken() || end_ || !out_.is_full(); });
  if (is_broken() || end_) throw_failure();
  const bool was_empty = out_.is_empty();
  while (!bytes.empty() && !out_.is_full()) {
    const std::span<std::byte> room = out_.free();
    const std::size_t count = std::min(bytes.size(), room.size());
    std::memcpy(room.data(), bytes.data(), count);
    out_.add(count);
    bytes = bytes.subspan(count);
  }
  return was_empty;
}

std::size_t SshChannel::get(std::span<std::byte> into, bool& makes_room) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return aborted_ || failure_ || input_ended_ || !in_.is_empty(); });
  if (aborted_) throw_failure();
  if (in_.is_empty()) {
    if (input_ended_) changed_.wait_for(lock, exit_code_grace, [&] { return aborted_ || failure_ || end_; });
    if (!(input_ended_ && end_ && end_->is_success()) && is_broken()) throw_failure();
    return 0;
  }
  const ByteView there = in_.filled();
  const std::size_t count = std::min(there.size(), into.size());
  std::memcpy(into.data(), there.data(), count);
  in_.take(count);
  makes_room = std::exchange(held_back_, false);
  return count;
}

void SshChannel::finish() noexcept {
  const std::lock_guard lock(mutex_);
  finished_ = true;
}

void SshChannel::abort() noexcept {
  const std::lock_guard lock(mutex_);
  aborted_ = true;
  changed_.notify_all();
  room_.notify_all();
}

void SshChannel::linger(std::chrono::milliseconds at_most) {
  std::unique_lock lock(mutex_);
  if (!finished_) return;
  changed_.wait_for(lock, at_most, [&] { return is_broken() || end_; });
}

void SshChannel::release() noexcept {
  const std::lock_guard lock(mutex_);
  released_ = true;
}

void SshChannel::started() {
  const std::lock_guard lock(mutex_);
  is_started_ = true;
  changed_.notify_all();
}

void SshChannel::failed(const Error& why) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = why;
  changed_.notify_all();
  room_.notify_all();
}

bool SshChannel::is_given_up() const {
  const std::lock_guard lock(mutex_);
  return aborted_ || released_;
}

ByteView SshChannel::outgoing() {
  const std::lock_guard lock(mutex_);
  return out_.filled();
}

void SshChannel::sent(std::size_t count) {
  const std::lock_guard lock(mutex_);
  out_.take(count);
  room_.notify_all();
}

bool SshChannel::wants_end() {
  const std::lock_guard lock(mutex_);
  return finished_ && !end_is_sent_ && out_.is_empty();
}

void SshChannel::end_sent() {
  const std::lock_guard lock(mutex_);
  end_is_sent_ = true;
}

std::span<std::byte> SshChannel::incoming() {
  const std::lock_guard lock(mutex_);
  held_back_ = in_.is_full();
  return in_.free();
}

void SshChannel::received(std::size_t count) {
  const std::lock_guard lock(mutex_);
  in_.add(count);
  changed_.notify_all();
}

void SshChannel::input_ended() {
  const std::lock_guard lock(mutex_);
  input_ended_ = true;
  changed_.notify_all();
}

void SshChannel::command_ended(const CommandEnd& end) {
  const std::lock_guard lock(mutex_);
  end_ = end;
  changed_.notify_all();
  room_.notify_all();
}

}  // namespace vmferry
