#include "protocol/delta/librsync_delta.h"

namespace vmferry::delta {
namespace {

constexpr std::uint32_t delta_magic = 0x72730236;
constexpr std::uint8_t end_command = 0x00;
constexpr std::uint8_t literal_command = 0x41;  // + width of the length
constexpr std::uint8_t copy_command = 0x45;     // + 4 * width of the place + width of the length

constexpr std::uint32_t short_literal_max = 64;  // the command is the length

// 0, 1, 2 for 1, 2, 4 bytes.
int width_of(std::uint32_t value) { return value <= 0xff ? 0 : value <= 0xffff ? 1 : 2; }

}  // namespace

void put_big_endian(ByteWriter& out, std::uint32_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out.u8(static_cast<std::uint8_t>(value >> shift & 0xff));
}

LibrsyncDeltaWriter::LibrsyncDeltaWriter() { put_big_endian(out_, delta_magic, 4); }

void LibrsyncDeltaWriter::literal(ByteView bytes) {
  if (bytes.empty()) return;
  const auto length = static_cast<std::uint32_t>(bytes.size());
  if (length <= short_literal_max) {
    out_.u8(static_cast<std::uint8_t>(length));
  } else {
    const int width = width_of(length);
    out_.u8(static_cast<std::uint8_t>(literal_command + width));
    put_big_endian(out_, length, 1 << width);
  }
  out_.bytes(bytes);
}

void LibrsyncDeltaWriter::copy(std::uint32_t from, std::uint32_t length) {
  const int from_width = width_of(from);
  const int length_width = width_of(length);
  out_.u8(static_cast<std::uint8_t>(copy_command + 4 * from_width + length_width));
  put_big_endian(out_, from, 1 << from_width);
  put_big_endian(out_, length, 1 << length_width);
}

void LibrsyncDeltaWriter::end() { out_.u8(end_command); }

Bytes to_librsync_delta(ByteView content, std::span<const Copy> copies) {
  LibrsyncDeltaWriter delta;
  std::size_t done = 0;
  for (const Copy& copy : copies) {
    delta.literal(content.subspan(done, copy.at - done));
    delta.copy(copy.from, copy.length);
    done = std::size_t{copy.at} + copy.length;
  }
  delta.literal(content.subspan(done));
  delta.end();
  return std::move(delta).take();
}

}  // namespace vmferry::delta
