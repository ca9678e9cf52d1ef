// The channel between the parent and the sandboxed child: a SOCK_SEQPACKET socket of small fixed messages and a
// shared memory of a few MiB. The parent answers the child's reads by filling a read slot; the child fills event
// buffers in turn, so both work at the same time and nothing costs a round trip per file. The shared memory stays
// writable by the child: the parent copies a buffer out before it looks at it, and never reads a slot back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace vmferry::crack {

inline constexpr int channel_socket_fd = 3;
inline constexpr int channel_memory_fd = 4;
inline constexpr const char* child_argument = "--vmferry-sandbox-child";

inline constexpr std::size_t read_slots = 4;
inline constexpr std::size_t read_slot_bytes = std::size_t{1} << 20;
inline constexpr std::size_t event_buffers = 2;
inline constexpr std::size_t event_buffer_bytes = std::size_t{1} << 20;
inline constexpr std::size_t shared_memory_bytes = read_slots * read_slot_bytes + event_buffers * event_buffer_bytes;

inline constexpr std::size_t event_buffer_offset(std::size_t buffer) {
  return read_slots * read_slot_bytes + buffer * event_buffer_bytes;
}

enum class MessageKind : std::uint32_t {
  // Parent to child. begin comes first: a = the volume's size, b = memory_bytes_max, slot = CPU seconds at most.
  begin = 1,
  crack,        // -> events, then finished
  mount,        // -> finished
  file_facts,   // a = MFT reference -> events, then finished
  file_read,    // a = MFT reference -> events, then finished
  break_rule,   // tests of the sandbox itself: a = which BrokenRule
  read_done,    // slot, a = how many bytes it holds: what was needed, and what could be read ahead
  events_done,  // slot = buffer
  // Child to parent.
  read,         // slot, a = offset in the volume, b = length, at most read_slot_bytes, c = of which are needed now
  events,       // slot = buffer, a = length, at most event_buffer_bytes
  finished,     // the request is done
  failed,       // the request failed: slot = FailureKind, text says why
};

enum class FailureKind : std::uint32_t { malformed = 0, unsupported = 1, out_of_memory = 2 };

// What a test asks the child to try; each must end it.
enum class BrokenRule : std::uint64_t { open_file, open_socket, fork, use_all_memory, run_forever, crash, read_outside,
                                       abort_another };

struct Message {
  MessageKind kind{};
  std::uint32_t slot = 0;
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  std::uint64_t c = 0;
  std::uint32_t text_bytes = 0;
  std::array<char, 220> text{};
};
static_assert(sizeof(Message) == 256);

}  // namespace vmferry::crack
