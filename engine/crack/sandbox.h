// Sandbox: one child process that parses a volume, and the parent's side of its channel. The parent reads the
// volume for it, takes its events, and ends it where it runs out of time or breaks the channel's rules.
// One thread. Errors are Error{malformed} with what became of the child; after one that is not just the answer to
// a request the child is dead and every later run() throws.
#pragma once

#include <functional>
#include <memory>

#include "engine/crack/channel.h"
#include "engine/crack/cracker.h"
#include "protocol/bytes.h"

namespace vmferry::crack {

class Sandbox {
 public:
  // cpu_time_max ends the child by the kernel's hand, should the parent be gone.
  Sandbox(VolumeBytes bytes, const SandboxLimits& limits, std::chrono::seconds cpu_time_max);
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  // Sends a request and serves the child until it has answered it. `on_events` gets each buffer of events, in
  // order, in memory that the child cannot reach. The time that the child may take counts from here, without the
  // time that the parent spends in `bytes.read` and `on_events`.
  void run(MessageKind request, std::uint64_t argument, const std::function<void(ByteView)>& on_events);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Set by maybe_run_sandbox_child(): without it the child would run main() again.
extern bool sandbox_child_hook_called;

}  // namespace vmferry::crack
