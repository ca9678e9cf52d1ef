// The server's log: lines on standard error, from any thread, which the service manager keeps with their times.
#pragma once

#include <string>

namespace vmferry::target_server {

void log_line(const std::string& line);

}  // namespace vmferry::target_server
