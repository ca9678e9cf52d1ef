#include "target-server/serve/log.h"

#include <algorithm>
#include <iostream>
#include <mutex>

namespace vmferry::target_server {

void log_line(const std::string& line) {
  static std::mutex mutex;
  std::string printable = line;  // a peer may have written some of it
  std::ranges::replace_if(printable, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  const std::lock_guard guard(mutex);
  std::cerr << printable << std::endl;
}

}  // namespace vmferry::target_server
