// The preamble of a relayed session: what `vmferry-target session --stdio` says on the server's Unix socket before the
// session's own bytes, and the server's answer, docs/format/relay.md. Whoever can open the socket is the store's owner, so its words are believed:
// a client's name in it takes rights away and never gives any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/bytes.h"
#include "protocol/transport/transport.h"

namespace vmferry::target_server {

// The first four bytes, as a little-endian integer: "VFRL". Neither a packet's length nor a link's hello can be it.
inline constexpr std::uint32_t relay_magic = 0x4c524656;
inline constexpr std::size_t relay_preamble_bytes_max = 512;  // of the payload

struct RelayPreamble {
  std::optional<std::string> client;  // by the forced command; unset: the account's owner, with all rights
  bool operator==(const RelayPreamble&) const = default;
};

// 1 to 255 bytes: letters, digits, '.', '_' and '-', of which only '_' and the first two kinds may come first.
bool is_client_name(const std::string& name);

Bytes encode_relay_preamble(const RelayPreamble& preamble);  // magic and length included
// The payload alone. Throws Error{malformed}, for a line of a kind that it does not know too: such a line might take
// rights away.
RelayPreamble parse_relay_preamble(ByteView payload);
// What follows the magic, off the transport and not a byte more.
RelayPreamble receive_relay_preamble(Transport& transport);

// The server's answer: from here on what comes belongs to the session. Without it nobody has taken the session.
void send_relay_taken(Transport& transport);
// Throws Error{unreachable} where the server went away before, Error{malformed} for another answer.
void receive_relay_taken(Transport& transport);

}  // namespace vmferry::target_server
