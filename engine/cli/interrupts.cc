#include "engine/cli/interrupts.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

namespace vmferry::cli {
namespace {

std::atomic<bool> cancel_requested{false};
std::atomic<bool> progress_requested{false};
std::atomic<bool> reload_requested{false};

void wait_for_signals(sigset_t signals) {
  for (;;) {
    int received = 0;
    if (sigwait(&signals, &received) != 0) continue;
    if (received == SIGUSR1) {
      progress_requested = true;
    } else if (received == SIGHUP) {
      reload_requested = true;
    } else if (cancel_requested.exchange(true)) {
      _exit(128 + received);
    }
  }
}

}  // namespace

void take_signals() {
  signal(SIGPIPE, SIG_IGN);  // NOLINT: a closed pipe is an error of write(), told in a sentence
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread(wait_for_signals, signals).detach();  // lives as long as the process
}

const std::atomic<bool>& cancelled() noexcept { return cancel_requested; }
bool take_progress_request() noexcept { return progress_requested.exchange(false); }
bool take_reload_request() noexcept { return reload_requested.exchange(false); }

}  // namespace vmferry::cli
