// Interrupts: SIGINT and SIGTERM ask the work to stop cleanly (a second one ends the process at once); SIGUSR1 asks for
// a progress line; SIGHUP asks to read the bandwidth's timetable again, and never ends anything, whether or not there
// is one. Signals are taken by one thread of their own, so no handler interrupts anything.
#pragma once

#include <atomic>

namespace vmferry::cli {

// Call once, before any other thread is started.
void take_signals();

// True after SIGINT or SIGTERM.
const std::atomic<bool>& cancelled() noexcept;
// True once for each SIGUSR1, or once for several.
bool take_progress_request() noexcept;
// True once for each SIGHUP, or once for several.
bool take_reload_request() noexcept;

}  // namespace vmferry::cli
