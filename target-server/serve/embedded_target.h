// embedded_target: the client's end of a pipe to a store in this process: the target's half of the session runs on a
// thread of its own, over a memory transport. What file:// targets are, and the near side of a copy between stores. It
// owns the store; destroying it ends the session and joins the thread.
#pragma once

#include <memory>

#include "protocol/transport/transport.h"
#include "target-server/receive/serve_session.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

std::unique_ptr<Transport> embedded_target(std::unique_ptr<store::Store> store, const ServeOptions& options = {});

}  // namespace vmferry::target_server
