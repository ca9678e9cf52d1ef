// This process's standard input and output as a transport: the far end of a program's or of an SSH command's.
#pragma once

#include <memory>

#include "protocol/transport/transport.h"

namespace vmferry {

// Takes both streams for itself: from then on descriptor 0 reads /dev/null, and what is still printed to descriptor 1
// goes to standard error, so nothing strays into the session and no child holds the pipes open. Ignores SIGPIPE for
// good. After finish_sending() standard error goes nowhere either: sshd tells its client that our output has ended only
// when both have. abort() is seen by the peer when this process ends, which must then be with a failure: a pipe's end alone is a
// clean one. The end of the input counts as clean unless nobody reads the output any more. At most once in a process.
std::unique_ptr<Transport> standard_io_transport();

}  // namespace vmferry
