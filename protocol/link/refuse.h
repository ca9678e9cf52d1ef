// refuse: the answer to a link's hello from a peer that may have no link, whatever its hello says: it is told why, in the
// link's own words.
#pragma once

#include "protocol/error.h"
#include "protocol/transport/transport.h"

namespace vmferry::link {

// Returns when the peer has read it and closed. Throws what the line throws; the caller sees to it that it ends in time.
void refuse(Transport& line, const Error& why);

}  // namespace vmferry::link
