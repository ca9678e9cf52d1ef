// Little-endian integers at an offset of bytes that have been checked to be long enough; asserts in debug builds.
#pragma once

#include <cassert>
#include <cstdint>
#include <cstring>

#include "protocol/bytes.h"

namespace vmferry::crack {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

template <typename T>
T load_le(ByteView bytes, std::size_t offset) {
  assert(offset <= bytes.size() && sizeof(T) <= bytes.size() - offset);
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

inline std::uint16_t le16(ByteView bytes, std::size_t offset) { return load_le<std::uint16_t>(bytes, offset); }
inline std::uint32_t le32(ByteView bytes, std::size_t offset) { return load_le<std::uint32_t>(bytes, offset); }
inline std::uint64_t le64(ByteView bytes, std::size_t offset) { return load_le<std::uint64_t>(bytes, offset); }

}  // namespace vmferry::crack
