#include <cstdint>

#include "protocol/file_index.h"
#include "protocol/utf8.h"

namespace vmferry {
namespace {

constexpr bool is_high_surrogate(std::uint32_t unit) { return unit >= 0xd800 && unit <= 0xdbff; }
constexpr bool is_low_surrogate(std::uint32_t unit) { return unit >= 0xdc00 && unit <= 0xdfff; }

void put_utf8(std::string& out, std::uint32_t point) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  const auto put_tail = [&](std::uint32_t shift) { put(0x80 | ((point >> shift) & 0x3f)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xc0 | point >> 6);
    put_tail(0);
  } else if (point < 0x10000) {
    put(0xe0 | point >> 12);
    put_tail(6);
    put_tail(0);
  } else {
    put(0xf0 | point >> 18);
    put_tail(12);
    put_tail(6);
    put_tail(0);
  }
}

// Takes one code point off the text: nullopt for a broken sequence, an overlong one or one past U+10FFFF.
std::optional<std::uint32_t> take_point(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text[0]);
  std::size_t length = 1;
  std::uint32_t point = first;
  std::uint32_t least = 0;
  if (first >= 0xf0 && first <= 0xf4) {
    length = 4, point = first & 0x07, least = 0x10000;
  } else if (first >= 0xe0 && first < 0xf0) {
    length = 3, point = first & 0x0f, least = 0x800;
  } else if (first >= 0xc0 && first < 0xe0) {
    length = 2, point = first & 0x1f, least = 0x80;
  } else if (first >= 0x80) {
    return std::nullopt;
  }
  if (text.size() < length) return std::nullopt;
  for (std::size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0) != 0x80) return std::nullopt;
    point = point << 6 | (next & 0x3f);
  }
  if (point < least || point > 0x10ffff) return std::nullopt;
  text.remove_prefix(length);
  return point;
}

}  // namespace

bool valid_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::optional<std::uint32_t> point = take_point(text);
    if (!point || is_high_surrogate(*point) || is_low_surrogate(*point)) return false;
  }
  return true;
}

std::string to_utf8(std::u16string_view name) {
  std::string out;
  out.reserve(name.size());
  for (std::size_t i = 0; i < name.size(); ++i) {
    std::uint32_t point = name[i];
    if (is_high_surrogate(point) && i + 1 < name.size() && is_low_surrogate(name[i + 1])) {
      point = 0x10000 + ((point - 0xd800) << 10) + (name[i + 1] - 0xdc00U);
      ++i;
    }
    put_utf8(out, point);
  }
  return out;
}

std::optional<std::u16string> to_utf16(std::string_view utf8) {
  std::u16string out;
  out.reserve(utf8.size());
  bool high_alone = false;  // the unit before is a high surrogate that came by itself
  while (!utf8.empty()) {
    const std::optional<std::uint32_t> point = take_point(utf8);
    if (!point) return std::nullopt;
    if (*point >= 0x10000) {
      out += static_cast<char16_t>(0xd800 + ((*point - 0x10000) >> 10));
      out += static_cast<char16_t>(0xdc00 + ((*point - 0x10000) & 0x3ff));
      high_alone = false;
      continue;
    }
    if (high_alone && is_low_surrogate(*point)) return std::nullopt;  // a pair is written as one code point
    high_alone = is_high_surrogate(*point);
    out += static_cast<char16_t>(*point);
  }
  return out;
}

}  // namespace vmferry
