#include "tests/support/running_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

extern char** environ;  // NOLINT: POSIX's

namespace vmferry::test {
namespace {

std::array<int, 2> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error(std::string("no pipe: ") + std::strerror(errno));
  return ends;
}

void close_once(int& descriptor) {
  if (descriptor >= 0) ::close(std::exchange(descriptor, -1));
}

}  // namespace

RunningProcess::RunningProcess(const std::vector<std::string>& arguments) {
  std::vector<char*> words;
  for (const std::string& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  auto [their_input, our_input] = make_pipe();
  auto [our_output, their_output] = make_pipe();
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, their_input, 0);
  ::posix_spawn_file_actions_adddup2(&actions, their_output, 1);
  ::posix_spawn_file_actions_adddup2(&actions, their_output, 2);
  const int fault = ::posix_spawnp(&id_, words[0], &actions, nullptr, words.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  close_once(their_input);
  close_once(their_output);
  input_ = our_input;
  output_ = our_output;
  if (fault == 0) return;
  id_ = -1;
  close_once(input_);
  close_once(output_);
  throw std::runtime_error("cannot start " + arguments[0] + ": " + std::strerror(fault));
}

RunningProcess::~RunningProcess() {
  close_once(input_);
  if (id_ > 0) {
    ::kill(id_, SIGKILL);
    wait();
  }
  close_once(output_);
}

std::string RunningProcess::wait_for_line(const std::string& text) {
  while (true) {
    for (std::size_t end = said_.find('\n', looked_at_); end != std::string::npos; end = said_.find('\n', looked_at_)) {
      const std::string line = said_.substr(looked_at_, end - looked_at_);
      looked_at_ = end + 1;
      if (line.find(text) != std::string::npos) return line;
    }
    std::array<char, 4096> more{};
    const ssize_t count = ::read(output_, more.data(), more.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw std::runtime_error("the program never said \"" + text + "\", but: " + said_);
    said_.append(more.data(), static_cast<std::size_t>(count));
  }
}

void RunningProcess::write(const std::string& text) {
  if (::write(input_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw std::runtime_error(std::string("the program does not listen: ") + std::strerror(errno));
}

void RunningProcess::end_input() { close_once(input_); }

void RunningProcess::signal(int number) const { ::kill(id_, number); }

int RunningProcess::wait() {
  int status = 0;
  while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
  }
  id_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace vmferry::test
