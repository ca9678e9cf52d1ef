#include "protocol/delta/operations.h"

#include <limits>
#include <string>
#include <string_view>

#include "protocol/error.h"

namespace vmferry::delta {
namespace {

constexpr unsigned unit_log_max = 16;
constexpr std::size_t columns = 3;

std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

// Whole units are even, all else odd.
std::uint64_t in_units(std::uint64_t value, unsigned log) {
  const std::uint64_t unit = std::uint64_t{1} << log;
  return value % unit == 0 ? (value >> log) << 1 : value << 1 | 1;
}

// No number in a delta needs more than 32 bits and a sign: nothing here overflows after this.
std::uint64_t number(ByteReader& in, unsigned log) {
  constexpr std::uint64_t number_max = std::uint64_t{1} << 33;
  const std::uint64_t coded = in.varint();
  if (coded > 2 * number_max) return number_max;
  const std::uint64_t value = (coded & 1) != 0 ? coded >> 1 : (coded >> 1) << log;
  return value < number_max ? value : number_max;
}

std::size_t varint_bytes(std::uint64_t value) {
  std::size_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

[[noreturn]] void refuse(std::string_view why) {
  throw Error(ErrorCode::malformed, "cannot read a delta's operations", {}, std::string(why));
}

}  // namespace

Bytes encode_operations(std::span<const Copy> copies) {
  std::vector<std::uint64_t> numbers(columns * copies.size());
  std::int64_t done = 0;
  std::int64_t basis_end = 0;
  for (std::size_t i = 0; i < copies.size(); ++i) {
    const std::int64_t literal = copies[i].at - done;
    numbers[i] = static_cast<std::uint64_t>(literal);
    numbers[copies.size() + i] = copies[i].length;
    numbers[2 * copies.size() + i] = zigzag(copies[i].from - (basis_end + literal));
    done = std::int64_t{copies[i].at} + copies[i].length;
    basis_end = std::int64_t{copies[i].from} + copies[i].length;
  }
  unsigned best_log = 0;
  std::size_t best_bytes = std::numeric_limits<std::size_t>::max();
  for (unsigned log = 0; log <= unit_log_max; log = log == 0 ? 6 : log + 1) {
    std::size_t bytes = 0;
    for (const std::uint64_t value : numbers) bytes += varint_bytes(in_units(value, log));
    if (bytes >= best_bytes) continue;
    best_bytes = bytes;
    best_log = log;
  }
  ByteWriter out;
  out.reserve(best_bytes + 8);
  out.u8(static_cast<std::uint8_t>(best_log));
  out.varint(copies.size());
  for (const std::uint64_t value : numbers) out.varint(in_units(value, best_log));
  return std::move(out).take();
}

void decode_operations(ByteReader& in, std::uint32_t content_bytes, std::uint32_t basis_bytes,
                       std::vector<Copy>& copies) {
  const unsigned log = in.u8();
  if (log > unit_log_max) refuse("bad unit");
  const std::uint64_t count = in.varint();
  // Each takes three bytes at least: no more than there are.
  if (count > in.rest().size() / columns) refuse("more operations than bytes");
  copies.assign(static_cast<std::size_t>(count), Copy{});
  std::vector<std::uint32_t> literals(copies.size());
  for (std::uint32_t& literal : literals) {
    const std::uint64_t value = number(in, log);
    if (value > content_bytes) refuse("a literal is longer than the content");
    literal = static_cast<std::uint32_t>(value);
  }
  for (Copy& copy : copies) {
    const std::uint64_t value = number(in, log);
    if (value == 0 || value > content_bytes) refuse("a copy of no bytes, or longer than the content");
    copy.length = static_cast<std::uint32_t>(value);
  }
  std::uint64_t done = 0;
  std::int64_t basis_end = 0;
  for (std::size_t i = 0; i < copies.size(); ++i) {
    Copy& copy = copies[i];
    if (literals[i] + std::uint64_t{copy.length} > content_bytes - done)
      refuse("operations make more than the content");
    copy.at = static_cast<std::uint32_t>(done + literals[i]);
    done += literals[i] + std::uint64_t{copy.length};
    const std::int64_t from = basis_end + literals[i] + unzigzag(number(in, log));
    if (from < 0 || from + copy.length > std::int64_t{basis_bytes}) refuse("a copy from outside of the basis");
    copy.from = static_cast<std::uint32_t>(from);
    basis_end = from + copy.length;
  }
}

}  // namespace vmferry::delta
