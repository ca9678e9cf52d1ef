// Running a program to its end, and what it said and cost. Throws std::runtime_error only where it could not be
// started.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace vmferry::test {

struct ProcessOptions {
  std::string input = {};                               // given on its standard input
  std::filesystem::path directory = {};                 // where it runs; empty: here
  std::map<std::string, std::string> environment = {};  // added to ours
};

struct ProcessResult {
  int exit_code = -1;  // 128 + the signal's number where a signal ended it
  std::string out;
  std::string err;
  double wall_seconds = 0;
  double cpu_seconds = 0;            // user and system, its children's (that it waited for) included
  std::size_t memory_bytes_max = 0;  // the largest resident set of any of these processes
};

// arguments[0] is looked up in PATH.
ProcessResult run(const std::vector<std::string>& arguments, const ProcessOptions& options = {});
// The same, but throws std::runtime_error with the program's words unless it exits with 0.
ProcessResult run_ok(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

}  // namespace vmferry::test
