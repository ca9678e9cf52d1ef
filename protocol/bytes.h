// Bytes on their way into and out of our formats: little-endian fixed integers, LEB128 varints, and strings
// with a varint length. ByteReader is for hostile input: it throws Error{malformed} at the first byte that
// is not there, and never allocates by an unchecked length. Neither is thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmferry {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

inline ByteView as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class ByteWriter {
 public:
  void u8(std::uint8_t value);
  void u16(std::uint16_t value);
  void u32(std::uint32_t value);
  void u64(std::uint64_t value);
  void u64_big_endian(std::uint64_t value);  // for keys, which sort as bytes
  void varint(std::uint64_t value);
  void bytes(ByteView value);          // as they are
  void string(std::string_view value);  // varint length, then the bytes

  ByteView view() const noexcept { return buffer_; }
  std::size_t size() const noexcept { return buffer_.size(); }
  void clear() noexcept { buffer_.clear(); }
  void reserve(std::size_t bytes) { buffer_.reserve(bytes); }
  Bytes take() && { return std::move(buffer_); }

 private:
  Bytes buffer_;
};

class ByteReader {
 public:
  // of_what names the object in errors: "point 12", "a wire frame".
  explicit ByteReader(ByteView bytes, std::string_view of_what = "a record") : rest_(bytes), of_what_(of_what) {}

  std::uint8_t u8();
  std::uint16_t u16();
  std::uint32_t u32();
  std::uint64_t u64();
  std::uint64_t u64_big_endian();
  std::uint64_t varint();  // at most 10 bytes, at most 64 bits, else malformed
  ByteView bytes(std::uint64_t length);
  std::string_view string(std::size_t length_max);

  ByteView rest() const noexcept { return rest_; }
  bool at_end() const noexcept { return rest_.empty(); }
  void expect_end() const;  // throws where bytes are left over

 private:
  [[noreturn]] void fail(std::string_view why) const;
  template <typename T>
  T little_endian();

  ByteView rest_;
  std::string_view of_what_;
};

std::string to_hex(ByteView bytes);
// Throws Error{malformed} unless text is an even number of hex digits.
Bytes from_hex(std::string_view text);

}  // namespace vmferry
