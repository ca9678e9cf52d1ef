#include "protocol/transport/io_loop.h"

#include <pthread.h>
#include <signal.h>

#include <mutex>
#include <thread>

#include "protocol/transport/asio.h"

namespace vmferry {
namespace {

using Context = asio::io_context;

// Signals are for the thread that waits for them (engine/cli/interrupts.h); the loop's takes none.
std::thread start_without_signals(std::shared_ptr<Context> context) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread([context = std::move(context)] { context->run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

class RunningLoop final : public IoLoop {
 public:
  RunningLoop() : context_(std::make_shared<Context>(1)), work_(context_->get_executor()) {
    thread_ = start_without_signals(context_);
  }

  ~RunningLoop() override {
    work_.reset();
    context_->stop();
    // A handler let go last: its thread cannot wait for itself. It ends when that handler returns, and owns the context.
    if (is_this_thread()) {
      thread_.detach();
    } else {
      thread_.join();
    }
  }

  Context& context() noexcept override { return *context_; }
  bool is_this_thread() const noexcept override { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  std::shared_ptr<Context> context_;
  asio::executor_work_guard<Context::executor_type> work_;
  std::thread thread_;
};

}  // namespace

std::shared_ptr<IoLoop> io_loop() {
  static std::mutex mutex;
  static std::weak_ptr<IoLoop> running;
  const std::lock_guard lock(mutex);
  auto loop = running.lock();
  if (!loop) running = loop = std::make_shared<RunningLoop>();
  return loop;
}

}  // namespace vmferry
