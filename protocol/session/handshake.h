// The client's half of the handshake: steps 1 and 2 of docs/format/wire.md.
#pragma once

#include "protocol/session/target_session.h"
#include "protocol/wire.h"

namespace vmferry::target {

// Throws Error{unreachable}, Error{version}, or what the target refused with.
TargetFacts shake_hands(wire::PacketWriter& writer, wire::PacketReader& reader, const ClientFacts& client);

}  // namespace vmferry::target
