// How `vmferry-target` reaches another store beyond a line: the options that push, pull and enroll share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "protocol/session/dial.h"

namespace CLI {
class App;
}

namespace vmferry::target_server {

struct LineArguments {
  std::filesystem::path enrolments;
  std::string ssh_command;
  std::vector<std::filesystem::path> ssh_keys, known_hosts;
  std::int64_t retry_for_seconds = 1800;
};

void add_line_options(CLI::App& command, LineArguments& arguments);
// Its notes go to standard error.
target::DialOptions dial_options(const LineArguments& arguments);

}  // namespace vmferry::target_server
