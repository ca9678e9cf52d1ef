#include <algorithm>

#include "protocol/chunk_id.h"
#include "protocol/error.h"
#include "protocol/session/enrolment.h"

namespace vmferry::target {
namespace {

constexpr std::string_view prefix = "vmferry-enrol-1:";
constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t text_bytes_max = 1024;
constexpr std::size_t host_bytes_max = 253;
constexpr std::size_t check_bytes = 4;

[[noreturn]] void no_line(const char* why) {
  throw Error(ErrorCode::usage, "this is not an enrolment line", {},
              std::string(why) + "; it is one line, printed by `vmferry-target client add`, that begins with " +
                  std::string(prefix));
}

std::string to_base64url(ByteView bytes) {
  std::string text;
  unsigned held = 0, bits = 0;
  for (const std::byte byte : bytes) {
    held = (held << 8 | std::to_integer<unsigned>(byte)) & 0xffff;
    for (bits += 8; bits >= 6; bits -= 6) text += digits[held >> (bits - 6) & 0x3f];
  }
  if (bits > 0) text += digits[held << (6 - bits) & 0x3f];
  return text;
}

Bytes from_base64url(std::string_view text) {
  Bytes bytes;
  unsigned held = 0, bits = 0;
  for (const char c : text) {
    const std::size_t digit = digits.find(c);
    if (digit == std::string_view::npos) no_line("it has characters that do not belong there");
    held = (held << 6 | static_cast<unsigned>(digit)) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<std::byte>(held >> bits & 0xff));
  }
  return bytes;
}

ByteView check_of(const std::array<std::byte, 32>& hash) { return ByteView(hash).first(check_bytes); }

}  // namespace

std::string encode_enrolment_line(const EnrolmentLine& line) {
  ByteWriter writer;
  writer.bytes(line.server.bytes);
  writer.bytes(line.secret);
  writer.u16(line.address.port);
  writer.string(line.address.host);
  writer.bytes(check_of(blake3_of(writer.view())));
  return std::string(prefix) + to_base64url(writer.view());
}

EnrolmentLine parse_enrolment_line(const std::string& text) {
  if (text.size() > text_bytes_max) no_line("it is too long");
  constexpr const char* white_space = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(white_space);
  if (begin == std::string::npos) no_line("there is nothing");
  std::string_view word = std::string_view(text).substr(begin, text.find_last_not_of(white_space) - begin + 1);
  if (!word.starts_with(prefix)) no_line("it begins with something else");
  const Bytes bytes = from_base64url(word.substr(prefix.size()));
  if (bytes.size() <= check_bytes) no_line("it is too short");
  const ByteView body = ByteView(bytes).first(bytes.size() - check_bytes);
  if (!std::ranges::equal(check_of(blake3_of(body)), ByteView(bytes).last(check_bytes)))
    no_line("it was not copied whole");
  EnrolmentLine line;
  ByteReader reader(body, "an enrolment line");
  std::ranges::copy(reader.bytes(line.server.bytes.size()), line.server.bytes.begin());
  std::ranges::copy(reader.bytes(line.secret.size()), line.secret.begin());
  const std::uint16_t port = reader.u16();
  const std::string host(reader.string(host_bytes_max));
  reader.expect_end();
  line.address = parse_host_port(to_string(HostPort{host, port}));
  return line;
}

}  // namespace vmferry::target
