#include <pthread.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <thread>

#include "protocol/error.h"
#include "target-server/cli/commands.h"
#include "target-server/cli/json_members.h"
#include "target-server/cli/target_config.h"
#include "target-server/serve/server.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {
namespace {

constexpr std::chrono::days certificate_warning{30};

struct ServeSettings {
  std::string config, directory, socket;
  std::vector<std::string> listen;
  std::optional<std::int64_t> sessions, backups, rebuild_level, pin_days, dscp;
  std::int64_t idle_exit_seconds = 0;
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
  void watch(std::function<void()> on_signal) {
    thread_ = std::thread([this, on_signal = std::move(on_signal)] {
      while (true) {
        int number = 0;
        if (sigwait(&signals_, &number) != 0 || ended_) return;
        on_signal();
      }
    });
  }

 private:
  sigset_t signals_{}, former_{};
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

// What the command line leaves open, the configuration says.
void complete(ServeSettings& settings) {
  if (!settings.config.empty()) {
    const TargetConfig config = read_target_config(settings.config);
    if (settings.directory.empty()) settings.directory = config.store;
    if (settings.socket.empty()) settings.socket = config.socket;
    if (settings.listen.empty()) settings.listen = config.listen;
    const auto otherwise = [](auto& value, const auto& other) { if (!value) value = other; };
    otherwise(settings.sessions, config.sessions);
    otherwise(settings.backups, config.backups);
    otherwise(settings.rebuild_level, config.rebuild_level);
    otherwise(settings.pin_days, config.pin_days);
    otherwise(settings.dscp, config.dscp);
  }
  if (settings.directory.empty())
    throw Error(ErrorCode::usage, "no store is named", {}, "--store DIR, or `store = \"DIR\"` in --config");
}

std::size_t within(const std::optional<std::int64_t>& value, std::int64_t min, std::int64_t max, std::size_t otherwise,
                   const char* name) {
  if (!value) return otherwise;
  if (*value < min || *value > max)
    throw Error(ErrorCode::usage, std::string(name) + " is out of range", std::to_string(*value),
                std::to_string(min) + " to " + std::to_string(max));
  return static_cast<std::size_t>(*value);
}

HostPort listen_address(const std::string& text) {
  constexpr std::string_view scheme = "tls://", any_port = ":0";
  std::string where = text.starts_with(scheme) ? text.substr(scheme.size()) : text;
  const bool any = where.ends_with(any_port);  // the kernel chooses, and what it chose is printed
  if (any) where.resize(where.size() - any_port.size());
  HostPort address = parse_host_port(where);
  if (any) address.port = 0;
  return address;
}

ServerOptions server_options(const ServeSettings& settings, const std::string& socket) {
  ServerOptions options;
  options.socket = socket;
  for (const std::string& where : settings.listen) options.listen.push_back(listen_address(where));
  options.sessions.sessions_max = within(settings.sessions, 1, 10'000, options.sessions.sessions_max, "sessions");
  options.backups_max = within(settings.backups, 1, 1'000, options.backups_max, "backups");
  options.session.rebuild_compression_level = static_cast<int>(
      within(settings.rebuild_level, 1, 19, static_cast<std::size_t>(rebuild_compression_level_default), "rebuild_level"));
  if (settings.dscp) options.tls.dscp = static_cast<unsigned>(within(settings.dscp, 0, 63, 0, "dscp"));
  options.session.read_priority = std::make_shared<ReadPriority>();
  options.idle_exit = std::chrono::seconds(settings.idle_exit_seconds);
  return options;
}

unsigned pin_days_of(const ServeSettings& settings) {
  return static_cast<unsigned>(within(settings.pin_days, 0, 3650, store::StoreOptions{}.pin_days, "pin_days"));
}

std::string certificate_note(const TlsIdentity& identity, const std::string& directory) {
  if (valid_until(identity) - std::chrono::system_clock::now() > certificate_warning) return {};
  return "note: the server's certificate ends soon, or has ended; renew it, clients need nothing new: "
         "vmferry-target certificate renew --store " + directory + "\n";
}

Outcome serve(ServeSettings settings, const Invocation& invocation) {
  complete(settings);
  const std::filesystem::path directory = std::filesystem::absolute(settings.directory);
  const std::string socket = settings.socket.empty() ? (directory / "serve.sock").string()
                                                     : std::filesystem::absolute(settings.socket).string();
  const ServerOptions options = server_options(settings, socket);
  StopSignals signals;  // before any thread is there
  const auto opened = store::Store::open(directory, {.pin_days = pin_days_of(settings), .socket = socket});
  std::optional<TlsIdentity> identity;
  if (!options.listen.empty()) identity = server_identity(directory);
  Server server(*opened, directory, options, identity);

  std::string text;
  for (const Warning& note : opened->notes()) text += "note: " + note.object + ": " + note.message + "\n";
  if (identity) text += certificate_note(*identity, directory.string());
  text += "Serving " + directory.string() + " on unix://" + socket;
  nlohmann::ordered_json facts = {{"store", directory.string()}, {"socket", socket}};
  for (const HostPort& where : server.addresses()) {
    text += ", tls://" + to_string(where);
    facts["listen"].push_back("tls://" + to_string(where));
  }
  text += "; Ctrl-C stops.\n";
  if (identity) facts["key"] = fingerprint_of(*identity).to_string();
  invocation.print_now({text, json_members(facts)});

  signals.watch([&] { server.stop(); });
  server.run();
  return {};
}

}  // namespace

void add_serve_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("serve", "Serve a store on a Unix socket, and over TLS");
  const auto settings = std::make_shared<ServeSettings>();
  command->add_option("--store", settings->directory, "the store's directory")->type_name("DIR");
  command->add_option("--config", settings->config, "a file that says what is not said here")->type_name("FILE");
  command->add_option("--socket", settings->socket, "the socket; default: DIR/serve.sock")->type_name("PATH");
  command
      ->add_option("--listen", settings->listen,
                   "listen for clients over TLS; may be given several times; default port " + std::to_string(default_port))
      ->type_name("tls://HOST[:PORT]");
  command->add_option("--sessions", settings->sessions, "sessions at a time; more wait (256)")->type_name("N");
  command->add_option("--backups", settings->backups, "backups at a time; more wait (16)")->type_name("N");
  command
      ->add_option("--rebuild-level", settings->rebuild_level,
                   "compression of what deltas are rebuilt to, 1 (fast) to 19 (small) (" +
                       std::to_string(rebuild_compression_level_default) + ")")
      ->type_name("N");
  command
      ->add_option("--pin-days", settings->pin_days,
                   "what an unfinished backup sent is kept for so many days after its last try; 0: not kept (30)")
      ->type_name("N");
  command->add_option("--dscp", settings->dscp, "mark what is sent with this DSCP, 0 to 63 (8: background)")->type_name("N");
  command->add_option("--idle-exit", settings->idle_exit_seconds, "end when nobody was there for so many seconds")
      ->check(CLI::Range(0, 1'000'000))
      ->type_name("SECONDS");
  command->footer(
      "Example:\n  vmferry-target serve --store /backup/vmferry --listen tls://[::]:7447\n"
      "  vmferry-target client add web --role sender,reader --store /backup/vmferry   # then `vmferry enroll -` there");
  command->callback([settings, &invocation] {
    invocation.run = [settings, &invocation] { return serve(*settings, invocation); };
  });
}

}  // namespace vmferry::target_server
