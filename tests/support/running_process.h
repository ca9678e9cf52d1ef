// RunningProcess: a program that runs beside the test and is ended with it. Its standard output and error are read here.
// Throws std::runtime_error where it cannot be started, or ends before it said what it was to say.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace vmferry::test {

class RunningProcess {
 public:
  explicit RunningProcess(const std::vector<std::string>& arguments);  // arguments[0] is looked up in PATH
  ~RunningProcess();                                                   // SIGKILL, unless it has ended
  RunningProcess(const RunningProcess&) = delete;
  RunningProcess& operator=(const RunningProcess&) = delete;

  // Reads on until a line holds this text, and returns that line.
  std::string wait_for_line(const std::string& text);
  // On its standard input.
  void write(const std::string& text);
  void end_input();
  void signal(int number) const;
  // Its exit code, or 128 + a signal's number.
  int wait();
  pid_t id() const { return id_; }
  // All that it has said so far, as far as it was read.
  const std::string& output() const { return said_; }

 private:
  pid_t id_ = -1;
  int input_ = -1, output_ = -1;
  std::string said_;
  std::size_t looked_at_ = 0;
};

}  // namespace vmferry::test
