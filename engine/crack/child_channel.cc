#include "engine/crack/child_channel.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

constexpr std::uint64_t read_ahead_first_bytes = 16 * 1024;

// A read begins in the cluster that was asked for: what lies before it may be another file's.
constexpr std::uint64_t read_alignment = 512;

}  // namespace

ChildChannel::ChildChannel() {
  void* mapped = ::mmap(nullptr, shared_memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, channel_memory_fd, 0);
  if (mapped == MAP_FAILED) ::_exit(3);
  shared_ = static_cast<std::byte*>(mapped);
  ::close(channel_memory_fd);
}

void ChildChannel::send(const Message& message) {
  for (;;) {
    if (::send(channel_socket_fd, &message, sizeof message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof message)) return;
    if (errno != EINTR) ::_exit(0);
  }
}

Message ChildChannel::receive() {
  Message message;
  for (;;) {
    const ssize_t got = ::recv(channel_socket_fd, &message, sizeof message, 0);
    if (got == static_cast<ssize_t>(sizeof message)) return message;
    if (got >= 0 || errno != EINTR) ::_exit(0);
  }
}

void ChildChannel::handle(const Message& message) {
  if (message.kind == MessageKind::read_done) {
    slots_[message.slot].in_flight = false;
    slots_[message.slot].length = message.a;
  } else if (message.kind == MessageKind::events_done) {
    buffer_with_parent_[message.slot] = false;
  } else {
    ::_exit(4);
  }
}

Message ChildChannel::next_request() {
  for (;;) {
    const Message message = receive();
    if (message.kind != MessageKind::read_done && message.kind != MessageKind::events_done) return message;
    handle(message);
  }
}

void ChildChannel::answer_finished() { send({.kind = MessageKind::finished}); }

void ChildChannel::answer_failed(FailureKind kind, std::string_view why) {
  Message message{.kind = MessageKind::failed, .slot = static_cast<std::uint32_t>(kind)};
  message.text_bytes = static_cast<std::uint32_t>(std::min(why.size(), message.text.size()));
  std::memcpy(message.text.data(), why.data(), message.text_bytes);
  send(message);
}

const ChildChannel::Slot* ChildChannel::slot_with(std::uint64_t offset) const {
  for (const Slot& slot : slots_) {
    if (offset >= slot.offset && offset - slot.offset < slot.length) return &slot;
  }
  return nullptr;
}

std::size_t ChildChannel::start_read(std::uint64_t offset, std::uint64_t length, std::uint64_t needed) {
  std::size_t oldest = 0;
  for (std::size_t i = 1; i < slots_.size(); ++i) {
    if (slots_[i].used_at < slots_[oldest].used_at) oldest = i;
  }
  Slot& slot = slots_[oldest];
  while (slot.in_flight) handle(receive());
  slot = {.offset = offset, .length = length, .used_at = ++tick_, .in_flight = true};
  send({.kind = MessageKind::read, .slot = static_cast<std::uint32_t>(oldest), .a = offset, .b = length, .c = needed});
  return oldest;
}

void ChildChannel::read(std::uint64_t offset, std::span<std::byte> into) {
  if (!range_fits(offset, into.size(), size_bytes_)) {
    throw Error(ErrorCode::malformed, "the file system points outside its volume");
  }
  while (!into.empty()) {
    const Slot* found = slot_with(offset);
    if (found == nullptr) {
      // Reads that follow each other grow, so that many small ones cost few requests.
      read_ahead_bytes_ = offset == next_sequential_ ? std::min<std::uint64_t>(read_ahead_bytes_ * 4, read_slot_bytes)
                                                     : read_ahead_first_bytes;
      const std::uint64_t from = offset / read_alignment * read_alignment;
      const std::uint64_t most = std::min<std::uint64_t>(read_slot_bytes, size_bytes_ - from);
      const std::uint64_t needed = std::min<std::uint64_t>(offset - from + into.size(), most);
      const std::uint64_t length = std::min(std::max(needed, read_ahead_bytes_), most);
      found = &slots_[start_read(from, length, needed)];
      next_sequential_ = from + length;
    }
    Slot& slot = slots_[static_cast<std::size_t>(found - slots_.data())];
    while (slot.in_flight) handle(receive());
    const std::uint64_t at = offset - slot.offset;
    if (at >= slot.length) continue;  // it was to be read ahead, and could not be
    slot.used_at = ++tick_;
    const std::size_t part = std::min<std::size_t>(into.size(), slot.length - at);
    std::memcpy(into.data(), shared_ + static_cast<std::size_t>(found - slots_.data()) * read_slot_bytes + at, part);
    into = into.subspan(part);
    offset += part;
  }
}

void ChildChannel::prefetch(std::uint64_t offset, std::uint64_t length) {
  if (offset >= size_bytes_ || slot_with(offset) != nullptr) return;
  length = std::min({length, std::uint64_t{read_slot_bytes}, size_bytes_ - offset});
  if (length == 0) return;
  start_read(offset, length, 0);
  next_sequential_ = offset + length;
}

std::span<std::byte> ChildChannel::next_buffer() {
  while (buffer_with_parent_[current_buffer_]) handle(receive());
  return {shared_ + event_buffer_offset(current_buffer_), event_buffer_bytes};
}

void ChildChannel::give(std::size_t length) {
  if (length == 0) return;
  buffer_with_parent_[current_buffer_] = true;
  send({.kind = MessageKind::events, .slot = static_cast<std::uint32_t>(current_buffer_), .a = length});
  current_buffer_ = (current_buffer_ + 1) % event_buffers;
}

}  // namespace vmferry::crack
