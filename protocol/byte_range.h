// ByteRange: [offset, offset + length) of a disk, a volume or a stream, in bytes. checked_*: arithmetic on
// numbers that came from a disk or a peer; they throw Error{malformed} where plain arithmetic would wrap.
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>

namespace vmferry {

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  std::uint64_t end() const noexcept { return offset + length; }
  bool operator==(const ByteRange&) const = default;
};

[[noreturn]] void throw_overflow(std::string_view of_what);

template <std::unsigned_integral T>
T checked_add(T a, T b, std::string_view of_what) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) throw_overflow(of_what);
  return sum;
}

template <std::unsigned_integral T>
T checked_mul(T a, T b, std::string_view of_what) {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) throw_overflow(of_what);
  return product;
}

// a rounded up to a multiple of step.
template <std::unsigned_integral T>
T checked_round_up(T a, T step, std::string_view of_what) {
  const T over = static_cast<T>(a % step);
  return over == 0 ? a : checked_add<T>(a, static_cast<T>(step - over), of_what);
}

// True where [offset, offset + length) lies in [0, size).
constexpr bool range_fits(std::uint64_t offset, std::uint64_t length, std::uint64_t size) noexcept {
  return offset <= size && length <= size - offset;
}

}  // namespace vmferry
