// relay: copies bytes between two transports, both ways at once, until both directions have ended. An end of one
// direction is passed on as that direction's end; when either side breaks, both are aborted and it throws what was seen
// first, Error{unreachable}. It looks at no byte, and holds at most one buffer a direction.
#pragma once

#include "protocol/transport/transport.h"

namespace vmferry::target_server {

void relay(Transport& one, Transport& other);

}  // namespace vmferry::target_server
