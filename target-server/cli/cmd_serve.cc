#include <pthread.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <thread>

#include "protocol/error.h"
#include "protocol/transport/transport.h"
#include "target-server/cli/commands.h"
#include "target-server/cli/json_members.h"
#include "target-server/cli/session_pool.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {
namespace {

constexpr std::chrono::seconds grace{10};

struct Settings {
  std::string directory, socket;
  std::size_t sessions_max = 16;
  unsigned pin_days = store::StoreOptions{}.pin_days;
  ServeOptions options;
};

// SIGINT and SIGTERM are blocked in every thread and waited for in one, which may therefore do anything.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&signals_);
    for (const int number : {SIGINT, SIGTERM, SIGUSR2}) sigaddset(&signals_, number);
    pthread_sigmask(SIG_BLOCK, &signals_, &former_);
    signal(SIGPIPE, SIG_IGN);
  }
  ~StopSignals() {
    if (thread_.joinable()) {
      ended_ = true;
      pthread_kill(thread_.native_handle(), SIGUSR2);  // wakes the waiting thread
      thread_.join();
    }
    pthread_sigmask(SIG_SETMASK, &former_, nullptr);
  }
  // Calls on_signal(1) at the first, on_signal(2) at the second signal, ...
  void watch(std::function<void(int)> on_signal) {
    thread_ = std::thread([this, on_signal = std::move(on_signal)] {
      for (int count = 1;; ++count) {
        int number = 0;
        if (sigwait(&signals_, &number) != 0 || ended_) return;
        on_signal(count);
      }
    });
  }

 private:
  sigset_t signals_{}, former_{};
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

Outcome serve(const Settings& settings, const Invocation& invocation) {
  const std::filesystem::path directory = std::filesystem::absolute(settings.directory);
  const std::string socket = settings.socket.empty() ? (directory / "serve.sock").string()
                                                     : std::filesystem::absolute(settings.socket).string();
  StopSignals signals;  // before any thread is there
  const auto opened = store::Store::open(directory, {.pin_days = settings.pin_days, .socket = socket});
  const auto listener = listen_unix(socket);
  ServeOptions options = settings.options;
  options.read_priority = std::make_shared<ReadPriority>();
  SessionPool pool(*opened, settings.sessions_max, options);

  std::string text;
  for (const Warning& note : opened->notes()) text += "note: " + note.object + ": " + note.message + "\n";
  text += "Serving " + directory.string() + " on unix://" + socket + "; Ctrl-C stops.\n";
  invocation.print_now({text, json_members({{"store", directory.string()}, {"socket", socket}})});

  signals.watch([&](int count) {
    listener->stop();
    if (count > 1) pool.abort_all();
  });
  while (std::unique_ptr<Transport> transport = listener->accept()) pool.run(std::move(transport));
  // What an aborted session has sent is kept: the next one finds it in the store.
  pool.wait_until_idle(grace);
  pool.abort_all();
  return {};
}

}  // namespace

void add_serve_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("serve", "Serve a store on a Unix socket");
  const auto settings = std::make_shared<Settings>();
  command->add_option("--store", settings->directory, "the store's directory")->required()->type_name("DIR");
  command->add_option("--socket", settings->socket, "the socket; default: DIR/serve.sock")->type_name("PATH");
  command->add_option("--sessions", settings->sessions_max, "sessions at a time; more wait")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      ->add_option("--pin-days", settings->pin_days,
                   "what an unfinished backup sent is kept for so many days after its last try; 0: not kept")
      ->check(CLI::Range(0, 3650))
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option("--rebuild-level", settings->options.rebuild_compression_level,
                   "compression of what deltas are rebuilt to, 1 (fast) to 19 (small)")
      ->check(CLI::Range(1, 19))
      ->type_name("N")
      ->capture_default_str();
  command->footer("Example:\n  vmferry-target serve --store /backup/vmferry\n"
                  "  vmferry backup DISK.vmdk --target unix:///backup/vmferry/serve.sock");
  command->callback([settings, &invocation] {
    invocation.run = [settings, &invocation] { return serve(*settings, invocation); };
  });
}

}  // namespace vmferry::target_server
