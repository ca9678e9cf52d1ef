// The records of a link, as they travel over a line: docs/format/link.md, with worked hex. All integers little-endian.
//   u8 type | u8 flags (0) | u16 reserved (0) | u32 payload length | u64 number | payload
// The first record that a client sends, the hello, has a header of its own:
//   u32 "VFLK" | u16 major | u16 minor | u32 payload length | u32 reserved (0) | payload
// Parsers throw Error{malformed} and never make room by an unchecked length. The encoders append.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/error.h"
#include "protocol/link/page.h"
#include "protocol/uuid.h"

namespace vmferry::link {

inline constexpr std::uint16_t version_major = 1;  // another major: no common language
inline constexpr std::uint16_t version_minor = 0;  // the lower one of both is spoken

inline constexpr std::size_t header_bytes = 16;
inline constexpr std::size_t control_bytes_max = 4 * limits::KiB;  // every payload but data's
inline constexpr std::size_t sentence_bytes_max = 1 * limits::KiB;
inline constexpr std::size_t lines_named_max = 64;                 // in one hello
inline constexpr std::uint64_t window_bytes_min = 4 * limits::KiB;
inline constexpr std::uint64_t early_bytes_max = window_bytes_min;  // that a client sends before it is welcomed
inline constexpr std::uint64_t window_bytes_max = 1024 * limits::MiB;
// Data records that were sent and not acknowledged; so a receiver has at most as many separate pieces to remember.
inline constexpr std::size_t records_unacknowledged_max = 4096;
inline constexpr std::chrono::milliseconds hear_within_min{20};

enum class RecordType : std::uint8_t {
  welcome = 1,  // target, first: number: its received position
  refuse = 2,   // target, instead of it
  data = 3,     // number: the position of its first byte; it does not cross a multiple of page_bytes
  ack = 4,      // number: the received position
  ping = 5,     // nothing else was sent for a while
  finish = 6,   // number: the position after the last byte
  abort = 7,    // the link is over, and why
  note = 8,     // a sentence for the person who waits
};

struct RecordHeader {
  RecordType type = RecordType::ping;
  std::uint32_t length = 0;
  std::uint64_t number = 0;
};

using Secret = std::array<std::byte, 32>;

// What each end tells the other one when a line begins.
struct Standing {
  std::uint64_t received = 0;  // position up to which it has everything; one more once it has the finish too
  std::uint64_t limit = 0;     // position up to which the other may send
  std::uint64_t window = 0;    // limit is never further ahead of `received`
  std::chrono::milliseconds hear_within{0};  // it drops a line on which it hears nothing for so long
};

struct Hello {
  std::uint16_t major = version_major, minor = version_minor;
  Uuid link;
  Secret secret{};
  bool create = false;                     // make the link if it is not there
  std::uint32_t line = 0;                  // counts up within the link, from 1
  Standing standing;
  std::vector<std::uint32_t> lines_alive;  // the target drops all others
};

struct Welcome {
  std::uint16_t major = version_major, minor = version_minor;
  Standing standing;
  std::uint32_t lines_max = 1;
};

// What a payload of this type may measure at most.
std::size_t payload_bytes_max(RecordType type) noexcept;

void put_hello(Bytes& out, const Hello& hello);
void put_welcome(Bytes& out, const Welcome& welcome);
void put_refuse(Bytes& out, ErrorCode code, const std::string& sentence);
void put_data_header(Bytes& out, std::uint64_t position, std::size_t length);
void put_ack(Bytes& out, std::uint64_t received, std::uint64_t limit);
void put_ping(Bytes& out);
void put_finish(Bytes& out, std::uint64_t position);
void put_abort(Bytes& out, ErrorCode code, const std::string& sentence);
void put_note(Bytes& out, const std::string& sentence);

RecordHeader parse_header(ByteView sixteen);
struct HelloHeader {
  std::uint16_t major = 0, minor = 0;
  std::uint32_t length = 0;
};
HelloHeader parse_hello_header(ByteView sixteen);
Hello parse_hello(const HelloHeader& header, ByteView payload);  // of our major version
Welcome parse_welcome(const RecordHeader& header, ByteView payload);
std::uint64_t parse_ack_limit(ByteView payload);
Error parse_refuse(ByteView payload);
Error parse_abort(ByteView payload);
std::string parse_note(ByteView payload);

[[noreturn]] void malformed(std::string why);
// As long as a sentence may be, and without what would play tricks on a terminal.
std::string harmless(std::string_view sentence);

}  // namespace vmferry::link
