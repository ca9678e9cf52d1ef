// The client's half of the handshake: steps 1 and 2 of docs/format/wire.md.
#pragma once

#include "protocol/session/target_session.h"
#include "protocol/wire.h"

namespace vmferry::target {

void say_hello(wire::PacketWriter& writer, const ClientFacts& client);
// Throws Error{unreachable}, Error{version}, or what the target refused with.
TargetFacts hear_welcome(wire::PacketReader& reader);

}  // namespace vmferry::target
