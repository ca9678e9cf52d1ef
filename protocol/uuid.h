// Uuid: 16 bytes that identify a machine, disk, client, domain, store, pack, point or session. Never all zero
// except for "none". Text is the usual 8-4-4-4-12 form; parse() takes VMware's "56 4d 12 ..." too.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/bytes.h"

namespace vmferry {

struct Uuid {
  std::array<std::byte, 16> bytes{};

  static Uuid random();                                   // version 4
  static Uuid derived(ByteView from);                     // version 8, by BLAKE3: the same input, the same UUID
  static Uuid from_bytes(ByteView sixteen);               // throws Error{malformed} for another length
  static std::optional<Uuid> parse(std::string_view text);  // 32 hex digits, any of ' ', '-', '{', '}' between

  bool is_none() const noexcept { return *this == Uuid{}; }
  std::string to_string() const;
  ByteView view() const noexcept { return bytes; }
  auto operator<=>(const Uuid&) const = default;
};

}  // namespace vmferry
