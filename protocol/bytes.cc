#include "protocol/bytes.h"

#include "protocol/error.h"

namespace vmferry {
namespace {

template <typename T>
void put_little_endian(Bytes& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<std::byte>((value >> (8 * i)) & 0xff));
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void ByteWriter::u8(std::uint8_t value) { buffer_.push_back(static_cast<std::byte>(value)); }
void ByteWriter::u16(std::uint16_t value) { put_little_endian(buffer_, value); }
void ByteWriter::u32(std::uint32_t value) { put_little_endian(buffer_, value); }
void ByteWriter::u64(std::uint64_t value) { put_little_endian(buffer_, value); }

void ByteWriter::u64_big_endian(std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) buffer_.push_back(static_cast<std::byte>((value >> shift) & 0xff));
}

void ByteWriter::varint(std::uint64_t value) {
  while (value >= 0x80) {
    buffer_.push_back(static_cast<std::byte>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  buffer_.push_back(static_cast<std::byte>(value));
}

void ByteWriter::bytes(ByteView value) { buffer_.insert(buffer_.end(), value.begin(), value.end()); }

void ByteWriter::string(std::string_view value) {
  varint(value.size());
  bytes(as_bytes(value));
}

void ByteReader::fail(std::string_view why) const {
  throw Error(ErrorCode::malformed, "cannot read " + std::string(of_what_), {}, std::string(why));
}

ByteView ByteReader::bytes(std::uint64_t length) {
  if (length > rest_.size()) fail("it ends too early");
  const ByteView taken = rest_.first(static_cast<std::size_t>(length));
  rest_ = rest_.subspan(taken.size());
  return taken;
}

template <typename T>
T ByteReader::little_endian() {
  const ByteView raw = bytes(sizeof(T));
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value |= std::to_integer<std::uint64_t>(raw[i]) << (8 * i);
  return static_cast<T>(value);
}

std::uint8_t ByteReader::u8() { return little_endian<std::uint8_t>(); }
std::uint16_t ByteReader::u16() { return little_endian<std::uint16_t>(); }
std::uint32_t ByteReader::u32() { return little_endian<std::uint32_t>(); }
std::uint64_t ByteReader::u64() { return little_endian<std::uint64_t>(); }

std::uint64_t ByteReader::u64_big_endian() {
  std::uint64_t value = 0;
  for (const std::byte b : bytes(8)) value = value << 8 | std::to_integer<std::uint64_t>(b);
  return value;
}

std::uint64_t ByteReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto b = std::to_integer<std::uint64_t>(bytes(1)[0]);
    if (shift == 63 && b > 1) break;
    value |= (b & 0x7f) << shift;
    if ((b & 0x80) == 0) return value;
  }
  fail("a number is longer than 64 bits");
}

std::string_view ByteReader::string(std::size_t length_max) {
  const std::uint64_t length = varint();
  if (length > length_max) fail("a string is too long");
  return as_text(bytes(length));
}

void ByteReader::expect_end() const {
  if (!rest_.empty()) fail("bytes are left over");
}

std::string to_hex(ByteView bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    text += digits[std::to_integer<unsigned>(b) >> 4];
    text += digits[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

Bytes from_hex(std::string_view text) {
  Bytes out;
  if (text.size() % 2 != 0) throw Error(ErrorCode::malformed, "an odd number of hex digits", std::string(text));
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) throw Error(ErrorCode::malformed, "not a hex digit", std::string(text));
    out.push_back(static_cast<std::byte>(high << 4 | low));
  }
  return out;
}

}  // namespace vmferry
