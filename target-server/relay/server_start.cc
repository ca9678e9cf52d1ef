#include "target-server/relay/server_start.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "protocol/error.h"
#include "protocol/transport/deadlines.h"
#include "target-server/store/about_file.h"
#include "target-server/store/file_lock.h"

extern char** environ;

namespace vmferry::target_server {
namespace {

using Clock = std::chrono::steady_clock;

// Between two looks at a server that reads its store, and is not listening yet.
constexpr std::chrono::milliseconds look_again{20};
// A backup to file://, or a deletion: it may be over in a moment, and may take the night.
constexpr std::chrono::milliseconds other_program_patience{10'000};
constexpr std::size_t first_words_bytes_max = 64 * 1024;
constexpr std::uint64_t log_bytes_max = 1 << 20;

struct Pipe {
  store::Descriptor read_end, write_end;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw system_error(errno, "cannot make a pipe", {});
  return {store::Descriptor(ends[0]), store::Descriptor(ends[1])};
}

std::string log_of(const std::filesystem::path& directory) { return (directory / "serve.log").string(); }

// A server of its own session, with nothing of ours open: sshd waits for whoever holds its pipes.
pid_t spawn_server(const std::filesystem::path& directory, const ServerStart& start, int standard_output) {
  const std::string log = log_of(directory);
  const auto facts = store::facts_of(std::filesystem::path(log));
  const int log_flags = O_WRONLY | O_CREAT | O_APPEND | (facts && facts->size > log_bytes_max ? O_TRUNC : 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, standard_output, STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(), log_flags, 0600);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  ::posix_spawn_file_actions_addchdir_np(&actions, "/");
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  std::vector<std::string> words = {"vmferry-target", "serve",       "--json",
                                    "--store",        directory,     "--idle-exit",
                                    std::to_string(start.idle_exit.count())};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = -1;
  const int error =
      ::posix_spawn(&pid, start.program.c_str(), &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw system_error(error, "cannot start the store's server", directory);
  return pid;
}

// The server's first line, an object of JSON, which it prints when it listens or has failed. Empty: it died, or said
// nothing until the deadline.
std::string first_line(const store::Descriptor& output, Clock::time_point deadline) {
  std::string line;
  std::array<char, 4096> buffer;
  while (line.find('\n') == std::string::npos && line.size() < first_words_bytes_max) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd waiting = {output.number(), POLLIN, 0};
    const int ready = left.count() <= 0 ? 0 : ::poll(&waiting, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    const ssize_t count = ready <= 0 ? 0 : ::read(output.number(), buffer.data(), buffer.size());
    if (count <= 0) return {};
    line.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return line;
}

struct NotStarted {
  std::string why;
  bool store_is_busy = false;  // it found another holder of the lock
};

// nullopt: it serves.
std::optional<NotStarted> start_server(const std::filesystem::path& directory, const ServerStart& start,
                                        Clock::time_point deadline) {
  Pipe output = make_pipe();
  const pid_t pid = spawn_server(directory, start, output.write_end.number());
  output.write_end.close();
  const auto said = nlohmann::json::parse(first_line(output.read_end, deadline), nullptr, false);
  if (said.is_object() && said.contains("socket")) return std::nullopt;
  ::waitpid(pid, nullptr, WNOHANG);
  if (said.is_object() && said.contains("error"))
    return NotStarted{said["error"].value("message", ""),
                      said["error"].value("code", "") == error_code_name(ErrorCode::busy)};
  return NotStarted{"the server that was started said nothing; see " + log_of(directory)};
}

// What was found in one look.
struct Look {
  std::unique_ptr<Transport> connection;
  std::string obstacle;
  bool other_program = false;
};

// The connection may be to a server that is ending, which the kernel makes all the same: so it has to answer.
std::unique_ptr<Transport> ask(const store::Holder& holder, const RelayPreamble& preamble, Deadlines& deadlines,
                               Clock::time_point deadline) {
  auto connection = connect_unix(holder.socket);
  const Deadlines::Guard guard(deadlines, *connection,
                               std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()));
  const Bytes words = encode_relay_preamble(preamble);
  const ByteView part = words;
  connection->send(std::span(&part, 1));
  receive_relay_taken(*connection);
  return connection;
}

Look look_for_server(const std::filesystem::path& directory, const RelayPreamble& preamble, Deadlines& deadlines,
                     Clock::time_point deadline) {
  const store::Holder holder = store::read_holder(directory / "lock");
  const std::string process = "process " + std::to_string(holder.pid);
  if (holder.socket.empty())
    return {nullptr, "the store is in use by " + process + " (" + holder.command + ")", true};
  try {
    return {ask(holder, preamble, deadlines, deadline), {}, false};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unreachable) throw;
    return {nullptr, process + " holds the store " + directory.string() + " and does not answer yet: " + error.what(),
            false};
  }
}

}  // namespace

std::unique_ptr<Transport> connect_to_server(const std::filesystem::path& relative, const RelayPreamble& preamble,
                                             const ServerStart& start) {
  const std::filesystem::path directory = std::filesystem::absolute(relative);
  store::read_about(directory);  // else there would be a log where no store is
  const std::filesystem::path lock = directory / "lock";
  Deadlines deadlines;
  const auto begin = Clock::now();
  const auto deadline = begin + start.patience;
  bool started = false;
  for (;;) {
    Look look;
    if (store::is_locked(lock)) {
      look = look_for_server(directory, preamble, deadlines, deadline);
      if (look.connection) return std::move(look.connection);
    } else if (!started) {
      const auto failure = start_server(directory, start, deadline);
      // Somebody else's server may have been quicker, or a program held the store for a moment.
      if (failure && !failure->store_is_busy && !store::is_locked(lock))
        throw Error(ErrorCode::unreachable, "the store's server does not start", directory, failure->why);
      started = !failure;
      if (started) continue;
      look.obstacle = failure->why;
    } else {
      started = false;  // the one that we saw is gone again
      look.obstacle = "its server ended as soon as it was there";
    }
    const auto patience = look.other_program ? std::min(other_program_patience, start.patience) : start.patience;
    if (Clock::now() - begin >= patience)
      throw Error(look.other_program ? ErrorCode::busy : ErrorCode::unreachable, "the store's server cannot be reached",
                  directory, look.obstacle);
    std::this_thread::sleep_for(look_again);
  }
}

}  // namespace vmferry::target_server
