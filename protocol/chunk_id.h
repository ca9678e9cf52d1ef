// ChunkId: the BLAKE3 hash of a chunk's bytes, keyed with its domain's key. Ids of different domains never
// meet. The adapter of BLAKE3 is chunk_id.cc: nothing else includes the vendor's header.
#pragma once

#include <array>
#include <compare>
#include <cstring>
#include <functional>

#include "protocol/bytes.h"

namespace vmferry {

inline constexpr std::size_t chunk_id_bytes = 32;

struct ChunkId {
  std::array<std::byte, chunk_id_bytes> bytes{};

  static ChunkId from_bytes(ByteView thirty_two);  // throws Error{malformed} for another length
  ByteView view() const noexcept { return bytes; }
  std::string to_string() const { return to_hex(bytes); }
  auto operator<=>(const ChunkId&) const = default;
};

// 32 secret bytes, one per domain. The target gives it to the domain's clients in the handshake.
struct DomainKey {
  std::array<std::byte, 32> bytes{};
  static DomainKey random();
  bool operator==(const DomainKey&) const = default;
};

// Thread-safe, no state.
ChunkId chunk_id_of(const DomainKey& key, ByteView content);
// The unkeyed BLAKE3, for what has no domain: derived UUIDs, a format's self-check.
std::array<std::byte, 32> blake3_of(ByteView content);

}  // namespace vmferry

template <>
struct std::hash<vmferry::ChunkId> {
  std::size_t operator()(const vmferry::ChunkId& id) const noexcept {
    std::size_t value;
    std::memcpy(&value, id.bytes.data(), sizeof value);
    return value;
  }
};
