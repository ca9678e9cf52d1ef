#include "protocol/transport/program_transport.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <system_error>

#include "protocol/error.h"
#include "protocol/transport/descriptor_transport.h"
#include "protocol/transport/last_lines.h"

extern char** environ;

namespace vmferry {
namespace {

// A program whose output has ended ends soon, or goes on reading (its peer half-closed); there is no third way to know.
constexpr std::chrono::milliseconds end_of_output_grace{500};
constexpr std::chrono::milliseconds clean_end_grace{5'000};  // after both directions have ended
constexpr std::chrono::milliseconds terminate_grace{1'000};

// Child: a program that was started, and is waited for by its owner. Thread-safe.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid), descriptor_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {
    if (descriptor_.is_open()) return;
    const Error why = system_error(errno, "cannot watch the program that was started", std::to_string(pid));
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    throw why;
  }
  ~Child() { end(std::chrono::milliseconds(0)); }

  // How it ended, as waitpid() says it; nullopt: it still runs.
  std::optional<int> wait(std::chrono::milliseconds at_most) {
    pollfd waiting = {descriptor_.number(), POLLIN, 0};
    while (::poll(&waiting, 1, static_cast<int>(at_most.count())) < 0 && errno == EINTR) {
    }
    const std::lock_guard lock(mutex_);
    int status = 0;
    if (!status_ && ::waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
    return status_;
  }

  // To all of its group: a program's own children (a ProxyCommand) shall not outlive it.
  void signal(int number) noexcept {
    const std::lock_guard lock(mutex_);
    if (!status_) ::kill(-pid_, number);
  }

  void end(std::chrono::milliseconds grace) {
    if (wait(grace)) return;
    signal(SIGTERM);
    if (wait(terminate_grace)) return;
    signal(SIGKILL);
    while (!wait(terminate_grace)) {
    }
  }

 private:
  const pid_t pid_;
  const Descriptor descriptor_;
  std::mutex mutex_;
  std::optional<int> status_;
};

std::string fate_of(int status) {
  if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
  return "ended with exit code " + std::to_string(WEXITSTATUS(status));
}

class ProgramTransport final : public DescriptorTransport {
 public:
  ProgramTransport(std::string name, pid_t pid, Descriptor in, Descriptor out, Descriptor standard_error)
      : DescriptorTransport(std::move(in), std::move(out), std::move(standard_error)),
        name_(std::move(name)),
        child_(pid) {}
  ~ProgramTransport() override {
    const bool both_ended = has_finished() && has_ended_ && !is_aborted();
    if (both_ended) child_.wait(clean_end_grace);
  }

  void abort() noexcept override {
    DescriptorTransport::abort();
    child_.signal(SIGTERM);
  }

 private:
  void confirm_end() override {
    const std::optional<int> status = child_.wait(end_of_output_grace);
    if (status && *status != 0) throw_gone(0);
    has_ended_ = true;
  }

  [[noreturn]] void throw_gone(int) override {
    if (is_aborted()) throw Error(ErrorCode::unreachable, "the connection was given up", name_);
    const std::optional<int> status = child_.wait(end_of_output_grace);
    drain_beside();
    const std::string said = last_lines_.text();
    throw Error(ErrorCode::unreachable,
                "the program that carries the session " + (status ? fate_of(*status) : "reads no more"), name_, said);
  }

  void read_beside(ByteView bytes) override { last_lines_.add(as_text(bytes)); }

  const std::string name_;
  LastLines last_lines_;
  std::atomic<bool> has_ended_ = false;
  Child child_;
};

struct SocketPair {
  Descriptor ours, theirs;
};

// Both above the numbers of the standard streams, so that laying those treads on nothing.
SocketPair socket_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw system_error(errno, "cannot make a pipe", {});
  SocketPair pair{Descriptor(ends[0]), Descriptor(ends[1])};
  for (Descriptor* end : {&pair.ours, &pair.theirs}) {
    if (end->number() > STDERR_FILENO) continue;
    const int moved = ::fcntl(end->number(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (moved < 0) throw system_error(errno, "cannot make a pipe", {});
    *end = Descriptor(moved);
  }
  return pair;
}

pid_t spawn(std::vector<std::string> words, const std::array<int, 3>& streams) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  for (int number = 0; number < 3; ++number)
    ::posix_spawn_file_actions_adddup2(&actions, streams[static_cast<std::size_t>(number)], number);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT)
    throw Error(ErrorCode::unreachable, "cannot run the program that carries the session", words[0],
                "there is no such program; is it installed?");
  if (error != 0)
    throw Error(ErrorCode::unreachable, "cannot run the program that carries the session", words[0],
                std::generic_category().message(error));
  return pid;
}

bool needs_no_quotes(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("/._-:@%+=,").find(c) != std::string_view::npos;
}

// One word's text, as far as the next unquoted blank. `at` is moved behind it.
std::string take_word(const std::string& command, std::size_t& at) {
  constexpr std::string_view separators = " \t\n";
  std::string word;
  char quote = 0;
  for (; at < command.size(); ++at) {
    const char c = command[at];
    if (quote == 0 && separators.find(c) != std::string_view::npos) return word;
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else if (c == '\\' && quote != '\'') {
      if (++at == command.size())
        throw Error(ErrorCode::usage, "this command ends with a backslash", command);
      // In double quotes a backslash is itself, but before these.
      if (quote == '"' && std::string_view("\"\\$`").find(command[at]) == std::string_view::npos) word += '\\';
      word += command[at];
    } else {
      word += c;
    }
  }
  if (quote != 0) throw Error(ErrorCode::usage, "a quote is not closed in this command", command);
  return word;
}

}  // namespace

std::unique_ptr<Transport> run_program(const std::vector<std::string>& words) {
  if (words.empty() || words[0].empty()) throw Error(ErrorCode::usage, "there is no program to run");
  SocketPair in = socket_pair(), out = socket_pair(), error = socket_pair();
  const pid_t pid = spawn(words, {in.theirs.number(), out.theirs.number(), error.theirs.number()});
  return std::make_unique<ProgramTransport>(words[0], pid, std::move(out.ours), std::move(in.ours),
                                            std::move(error.ours));
}

std::vector<std::string> split_words(const std::string& command) {
  std::vector<std::string> words;
  for (std::size_t at = 0;;) {
    at = command.find_first_not_of(" \t\n", at);
    if (at == std::string::npos) break;
    words.push_back(take_word(command, at));
  }
  if (words.empty() || words[0].empty()) throw Error(ErrorCode::usage, "this command names no program", command);
  return words;
}

std::string shell_quoted(const std::string& word) {
  if (!word.empty() && std::all_of(word.begin(), word.end(), needs_no_quotes)) return word;
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

}  // namespace vmferry
