// LineSettings: how this host reaches targets beyond a line, from the command line and the configuration.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "protocol/session/dial.h"

namespace CLI {
class App;
}

namespace vmferry::cli {

struct LineSettings {
  std::filesystem::path enrolments;                    // empty: the default
  std::string ssh_command;                             // empty: libssh2
  std::vector<std::filesystem::path> ssh_keys, known_hosts;
  std::optional<unsigned> dscp;
  std::string retry_for_text;                          // "30m"; empty: not given
  std::chrono::milliseconds retry_for{30 * 60'000};    // what it means
  std::string bwlimit_text;                            // "20mbit"; given, [bandwidth] does not count
  unsigned connections = 0;                            // at most, of one session; 0: not given
};

void add_line_options(CLI::App& app, LineSettings& settings);
// Throws Error{usage}.
void complete_line_settings(LineSettings& settings);
// note: sentences for a person, from any thread.
target::DialOptions dial_options(const LineSettings& settings, std::function<void(const std::string&)> note);

// On standard error, above a progress bar that may be there. From any thread.
void print_line_note(const std::string& sentence);

}  // namespace vmferry::cli
