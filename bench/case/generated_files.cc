#include "bench/case/generated_files.h"

#include <array>
#include <cstdio>
#include <string_view>

#include "tests/support/content.h"

namespace vmferry::bench {
namespace {

constexpr std::array<std::string_view, 8> services{"w3svc", "mssql", "spooler", "dhcp", "kdc", "dns", "backup", "shop"};
constexpr std::array<std::string_view, 6> events{"request served",      "connection from", "session closed for",
                                                 "query took too long", "cache miss for",  "retrying after timeout of"};

std::string number(std::uint64_t value, int width) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*llu", width, static_cast<unsigned long long>(value));
  return text;
}

void append_base64(std::string& out, ByteView bytes) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::size_t column = 0;
  for (std::size_t at = 0; at + 3 <= bytes.size(); at += 3) {
    const auto three = (std::to_integer<std::uint32_t>(bytes[at]) << 16) |
                       (std::to_integer<std::uint32_t>(bytes[at + 1]) << 8) |
                       std::to_integer<std::uint32_t>(bytes[at + 2]);
    for (const unsigned shift : {18U, 12U, 6U, 0U}) out += alphabet[(three >> shift) & 63];
    if ((column += 4) == 76) {
      out += "\r\n";
      column = 0;
    }
  }
}

}  // namespace

std::string log_lines(std::uint64_t seed, std::size_t bytes, std::uint64_t first_second) {
  test::Random random(seed);
  std::string out;
  out.reserve(bytes + 256);
  for (std::uint64_t milliseconds = first_second * 1000; out.size() < bytes; milliseconds += random.below(900)) {
    const std::uint64_t second = milliseconds / 1000;
    out += "2026-11-" + number(1 + second / 86400 % 28, 2) + "T" + number(second / 3600 % 24, 2) + ":" +
           number(second / 60 % 60, 2) + ":" + number(second % 60, 2) + "." + number(milliseconds % 1000, 3) + " ";
    out += services[random.below(services.size())];
    out += "[" + number(1000 + random.below(40), 4) + "]: ";
    out += events[random.below(events.size())];
    out += " 10.1." + number(random.below(4), 1) + "." + number(random.below(250), 1) +
           " user=" + number(random.below(3000), 5) + " bytes=" + number(random.below(1 << 20), 1) +
           " id=" + number(random.next() & 0xffffffffff, 13) + "\n";
  }
  out.resize(bytes);
  return out;
}

std::string json_document(std::uint64_t seed, std::size_t bytes) {
  test::Random random(seed);
  std::string out = "{\"items\": [\n";
  while (out.size() < bytes) {
    out += "  {\"id\": " + number(random.below(100'000'000), 1) + ", \"price\": " + number(random.below(10'000), 1) +
           "." + number(random.below(100), 2) + ", \"active\": " + (random.below(2) == 0 ? "true" : "false") +
           ", \"note\": \"";
    const Bytes words = test::text_bytes(random.below(50), 20 + random.below(90));
    for (const char letter : as_text(words)) out += letter == '\n' ? ' ' : letter;
    out += "\"},\n";
  }
  out += "  {}\n]}\n";
  return out;
}

std::string mail(std::uint64_t seed, std::size_t text_bytes, ByteView attachment) {
  test::Random random(seed);
  std::string out = "From: user" + number(random.below(300), 1) + "@example.net\r\nTo: user" +
                    number(random.below(300), 1) + "@example.com\r\nMessage-ID: <" + number(random.next() >> 8, 1) +
                    "@example.net>\r\nSubject: ";
  const Bytes text = test::text_bytes(seed, text_bytes + 40);
  out += as_text(ByteView(text).first(40));
  out += "\r\nContent-Type: multipart/mixed; boundary=frontier\r\n\r\n--frontier\r\n";
  out += as_text(ByteView(text).subspan(40));
  if (!attachment.empty()) {
    out += "\r\n--frontier\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    append_base64(out, attachment);
  }
  return out + "\r\n--frontier--\r\n";
}

Bytes picture(std::uint64_t seed, std::size_t bytes) {
  Bytes content = test::random_bytes(seed, bytes);
  constexpr std::array<std::byte, 4> header{std::byte{0xff}, std::byte{0xd8}, std::byte{0xff}, std::byte{0xe0}};
  for (std::size_t i = 0; i < header.size() && i < content.size(); ++i) content[i] = header[i];
  return content;
}

}  // namespace vmferry::bench
