#include "target-server/relay/preamble.h"

#include <algorithm>
#include <array>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::target_server {
namespace {

constexpr std::string_view client_key = "client ";

[[noreturn]] void throw_malformed(const std::string& why) {
  throw Error(ErrorCode::malformed, "a relayed session begins with a preamble that cannot be", {}, why);
}

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void receive_all(Transport& transport, std::span<std::byte> into) {
  while (!into.empty()) {
    const std::size_t count = transport.receive(into);
    if (count == 0) throw Error(ErrorCode::unreachable, "a relayed session ended before it began");
    into = into.subspan(count);
  }
}

}  // namespace

bool is_client_name(const std::string& name) {
  if (name.empty() || name.size() > limits::name_bytes_max || name[0] == '.' || name[0] == '-') return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
}

Bytes encode_relay_preamble(const RelayPreamble& preamble) {
  std::string payload;
  if (preamble.client) payload = std::string(client_key) + *preamble.client + "\n";
  ByteWriter writer;
  writer.u32(relay_magic);
  writer.u32(static_cast<std::uint32_t>(payload.size()));
  writer.bytes(as_bytes(payload));
  return std::move(writer).take();
}

RelayPreamble parse_relay_preamble(ByteView payload) {
  RelayPreamble preamble;
  for (std::string_view rest = as_text(payload); !rest.empty();) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) throw_malformed("its last line does not end");
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    if (!line.starts_with(client_key)) throw_malformed("it has a line of an unknown kind; update this server");
    if (preamble.client) throw_malformed("it names two clients");
    preamble.client = std::string(line.substr(client_key.size()));
    if (!is_client_name(*preamble.client)) throw_malformed("what it names is no client's name");
  }
  return preamble;
}

RelayPreamble receive_relay_preamble(Transport& transport) {
  std::array<std::byte, 4> length_bytes;
  receive_all(transport, length_bytes);
  const std::uint32_t length = ByteReader(length_bytes).u32();
  if (length > relay_preamble_bytes_max) throw_malformed("it is longer than a preamble may be");
  Bytes payload(length);
  receive_all(transport, payload);
  return parse_relay_preamble(payload);
}

void send_relay_taken(Transport& transport) {
  ByteWriter writer;
  writer.u32(relay_magic);
  const Bytes answer = std::move(writer).take();
  const ByteView part = answer;
  transport.send(std::span(&part, 1));
}

void receive_relay_taken(Transport& transport) {
  std::array<std::byte, 4> answer;
  receive_all(transport, answer);
  if (ByteReader(answer).u32() != relay_magic)
    throw Error(ErrorCode::malformed, "what answers the relay is not a vmferry target");
}

}  // namespace vmferry::target_server
