// librsync's delta file: a magic, commands with big-endian parameters of 1, 2, 4 or 8 bytes, an end.
#include <bit>

#include "protocol/delta/matcher.h"

namespace vmferry::delta {
namespace {

constexpr std::uint32_t delta_magic = 0x72730236;
constexpr std::uint8_t end_command = 0x00;
constexpr std::uint8_t literal_command = 0x40;  // 0x41, 0x42, 0x43: a length of 1, 2, 4 bytes
constexpr std::uint8_t copy_command = 0x45;     // + 4 x width of the place + width of the length

constexpr std::uint32_t short_literal_max = 64;  // the command is the length

void put_big_endian(ByteWriter& out, std::uint32_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out.u8(static_cast<std::uint8_t>(value >> shift & 0xff));
}

// 0, 1, 2 for 1, 2, 4 bytes.
int width_of(std::uint32_t value) { return value <= 0xff ? 0 : value <= 0xffff ? 1 : 2; }

void put_literal(ByteWriter& out, ByteView literal) {
  if (literal.empty()) return;
  const auto length = static_cast<std::uint32_t>(literal.size());
  if (length <= short_literal_max) {
    out.u8(static_cast<std::uint8_t>(length));
  } else {
    const int width = width_of(length);
    out.u8(static_cast<std::uint8_t>(literal_command + 1 + width));
    put_big_endian(out, length, 1 << width);
  }
  out.bytes(literal);
}

void put_copy(ByteWriter& out, const Copy& copy) {
  const int from_width = width_of(copy.from);
  const int length_width = width_of(copy.length);
  out.u8(static_cast<std::uint8_t>(copy_command + 4 * from_width + length_width));
  put_big_endian(out, copy.from, 1 << from_width);
  put_big_endian(out, copy.length, 1 << length_width);
}

}  // namespace

Bytes to_librsync_delta(ByteView content, std::span<const Copy> copies) {
  ByteWriter out;
  put_big_endian(out, delta_magic, 4);
  std::size_t done = 0;
  for (const Copy& copy : copies) {
    put_literal(out, content.subspan(done, copy.at - done));
    put_copy(out, copy);
    done = std::size_t{copy.at} + copy.length;
  }
  put_literal(out, content.subspan(done));
  out.u8(end_command);
  return std::move(out).take();
}

}  // namespace vmferry::delta
