// refuse: the answer to a link's hello from a peer that may have no link: it is told why, in the link's own words.
#pragma once

#include "protocol/bytes.h"
#include "protocol/error.h"
#include "protocol/transport/transport.h"

namespace vmferry::link {

// Reads the rest of the hello (received_already: what the caller has read of it), answers, and half-closes. Throws what
// the line throws. The caller sees to it that it ends in time.
void refuse(Transport& line, ByteView received_already, const Error& why);

}  // namespace vmferry::link
