// Interrupts: SIGINT and SIGTERM ask the work to stop cleanly (a second one ends the process at once); SIGUSR1 asks for a
// progress line. Signals are taken by one thread of their own, so no handler interrupts anything.
#pragma once

#include <atomic>

namespace vmferry::cli {

// Call once, before any other thread is started.
void take_signals();

// True after SIGINT or SIGTERM.
const std::atomic<bool>& cancelled() noexcept;
// True once for each SIGUSR1.
bool take_progress_request() noexcept;

// SIGHUP: while somebody accepts them, a request to read the configuration again; else the end, as SIGTERM.
void accept_reload_requests(bool accept) noexcept;
bool take_reload_request() noexcept;

}  // namespace vmferry::cli
