// IoLoop: the process's one Asio io_context, run by one thread of its own. It starts with its first user and is joined
// when the last one lets go, so a process that opens no TLS and no SSH connection has neither.
//
// The thread is everybody's: a handler never blocks, and never throws (what it lets escape ends the process, as in any
// thread). An operation that is pending when the last user lets go is dropped without being called; so whoever starts one
// keeps a share until it is done. A handler may hold the last share itself.
//
// Children: every descriptor of the loop is closed on exec. A process that forks without exec must not use it.
// Only protocol/transport/asio.h and the .cc files that include that one see Asio.
#pragma once

#include <memory>

namespace boost::asio {
class io_context;
}

namespace vmferry {

class IoLoop {
 public:
  virtual ~IoLoop() = default;
  virtual boost::asio::io_context& context() noexcept = 0;
  // True on the loop's own thread, where nothing may wait for the loop.
  virtual bool is_this_thread() const noexcept = 0;
};

// From any thread.
std::shared_ptr<IoLoop> io_loop();

}  // namespace vmferry
