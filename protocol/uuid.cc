#include "protocol/uuid.h"

#include <algorithm>
#include <cctype>

#include "protocol/chunk_id.h"
#include "protocol/error.h"
#include "protocol/random_bytes.h"

namespace vmferry {
namespace {

// RFC 9562: the version in the high half of byte 6, the variant in the high bits of byte 8.
Uuid with_version(Uuid uuid, unsigned version) {
  uuid.bytes[6] = (uuid.bytes[6] & std::byte{0x0f}) | static_cast<std::byte>(version << 4);
  uuid.bytes[8] = (uuid.bytes[8] & std::byte{0x3f}) | std::byte{0x80};
  return uuid;
}

}  // namespace

Uuid Uuid::random() {
  Uuid uuid;
  fill_random(uuid.bytes);
  return with_version(uuid, 4);
}

Uuid Uuid::derived(ByteView from) {
  Uuid uuid;
  const auto hash = blake3_of(from);
  std::copy_n(hash.begin(), uuid.bytes.size(), uuid.bytes.begin());
  return with_version(uuid, 8);
}

Uuid Uuid::from_bytes(ByteView sixteen) {
  Uuid uuid;
  if (sixteen.size() != uuid.bytes.size()) throw Error(ErrorCode::malformed, "a UUID is not 16 bytes long");
  std::copy(sixteen.begin(), sixteen.end(), uuid.bytes.begin());
  return uuid;
}

std::optional<Uuid> Uuid::parse(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c == ' ' || c == '-' || c == '{' || c == '}') continue;
    if (std::isxdigit(static_cast<unsigned char>(c)) == 0 || digits.size() == 32) return std::nullopt;
    digits += c;
  }
  if (digits.size() != 32) return std::nullopt;
  return from_bytes(from_hex(digits));
}

std::string Uuid::to_string() const {
  std::string text = to_hex(bytes);
  for (const std::size_t at : {20U, 16U, 12U, 8U}) text.insert(at, 1, '-');
  return text;
}

}  // namespace vmferry
