// The wire's packets: what a session sends over a transport. docs/format/wire.md numbers the steps of a session, with
// worked hex. One packet, all integers little-endian:
//   u32 payload length | u8 type | u8 flags (0) | u16 reserved (0) | payload | u64 XXH3-64 of all before it
// The checksum guards against bytes that were damaged on the way, not against an attacker: content has chunk ids.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/chunk_id.h"
#include "protocol/limits.h"
#include "protocol/transport/transport.h"

namespace vmferry::wire {

inline constexpr std::uint32_t hello_magic = 0x50574656;  // "VFWP"
inline constexpr std::uint32_t version_major = 1;         // another major: no common language
inline constexpr std::uint32_t version_minor = 2;         // a higher minor: knows more messages, is understood
inline constexpr std::uint64_t feature_deltas = 1;        // delta and delta done
inline constexpr std::uint64_t feature_replicas = 2;      // copies between stores: steps 12 to 14 of wire.md
inline constexpr std::uint64_t feature_notes = 4;         // Note
inline constexpr std::uint64_t feature_cancel = 8;        // Cancel
// What this version has; only what both have is used.
inline constexpr std::uint64_t features = feature_deltas | feature_replicas | feature_notes | feature_cancel;

enum class PacketType : std::uint8_t {
  control = 1,    // a Control message (protocol/messages.proto)
  offer = 2,      // batch u64, ids
  want = 3,       // batch u64, bitmap: bit i (lowest first) says that ids[i] of the offer is wanted
  frame = 4,      // a frame (protocol/frame.h) as it is
  fetch = 5,      // request u64, ids
  fetched = 6,    // request u64, a frame as it is stored
  fetch_end = 7,  // request u64, then per id that did not come: why u8, id
  delta = 8,      // number u64, a delta frame (protocol/delta/delta_frame.h)
  delta_done = 9,  // number u64, then the ids of those of its chunks that are wanted whole, if any
  fetch_deltas = 10,  // request u64, chunks and what their deltas may be made against (protocol/delta_request.h)
  fetched_delta = 11,  // request u64, a delta frame
};

enum class NotFetched : std::uint8_t { missing = 0, damaged = 1 };

inline constexpr std::size_t packet_header_bytes = 8;
inline constexpr std::size_t packet_checksum_bytes = 8;
inline constexpr std::size_t hello_bytes_max = 64 * limits::KiB;  // before the peer has said who it is

// What a payload of this type may measure at most; 0 for a type that this version does not know.
std::size_t payload_bytes_max(PacketType type) noexcept;

struct Packet {
  PacketType type = PacketType::control;
  ByteView payload;
};

// PacketWriter: sends packets; header, payload parts and checksum are gathered, not copied. Thread-safe: packets of
// several threads never mix. Throws what the transport throws, std::logic_error for a payload past its limit.
class PacketWriter {
 public:
  explicit PacketWriter(Transport& transport) : transport_(transport) {}
  void send(PacketType type, std::span<const ByteView> payload_parts);
  void send(PacketType type, std::initializer_list<ByteView> payload_parts) {
    send(type, std::span(payload_parts.begin(), payload_parts.size()));
  }

 private:
  Transport& transport_;
  std::mutex mutex_;
};

// PacketReader: receives packets through one buffer, which grows to the largest packet seen (its type's limit at
// most). One thread. Throws Error{malformed} for an unknown type, a length past its type's limit (before it makes
// room for it), or bits that must be 0; Error{unreachable} where the line ends within a packet or a checksum is wrong.
class PacketReader {
 public:
  explicit PacketReader(Transport& transport);
  // The payload is valid until the next call. nullopt at the peer's clean end.
  std::optional<Packet> next(std::size_t payload_max = limits::wire_payload_max);

 private:
  bool fill(std::size_t bytes);  // false: the end came before the first of them

  Transport& transport_;
  Bytes buffer_;
  std::size_t begin_ = 0, end_ = 0;  // received and not yet handed out
};

// Throws Error{malformed}: the peer broke the protocol.
[[noreturn]] void malformed(std::string why);

// The payloads that are no protobuf messages. parse_* throw Error{malformed}.
Bytes encode_numbered_ids(std::uint64_t number, std::span<const ChunkId> ids);  // offer, fetch, delta done
struct NumberedIds {
  std::uint64_t number = 0;
  std::vector<ChunkId> ids;
};
NumberedIds parse_numbered_ids(ByteView payload);  // 1..limits::offer_ids_max ids
NumberedIds parse_delta_done(ByteView payload);    // 0..limits::frame_chunks_max ids

Bytes encode_want(std::uint64_t batch, const std::vector<bool>& wanted);
std::vector<bool> parse_want_bitmap(ByteView bitmap, std::size_t ids);  // spare bits must be 0

struct FetchEnd {
  struct Failed {
    NotFetched why = NotFetched::missing;
    ChunkId id;
  };
  std::uint64_t request = 0;
  std::vector<Failed> failed;
};
Bytes encode_fetch_end(const FetchEnd& end);
FetchEnd parse_fetch_end(ByteView payload);

Bytes encode_number(std::uint64_t number);
// The u64 that all but control and frame begin with; `payload` becomes what follows it.
std::uint64_t take_number(ByteView& payload);

}  // namespace vmferry::wire
