// Progress of long work on standard error: a bar on a terminal, elsewhere a line a minute; SIGUSR1 asks for a line at
// any time. Calls come from one thread; interrupts (below) from another.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "engine/cli/settings.h"

namespace vmferry::cli {

class Progress {
 public:
  explicit Progress(const Settings& settings);
  ~Progress();

  void phase(const std::string& name);
  void update(std::uint64_t done_bytes, std::uint64_t total_bytes, std::uint64_t sent_bytes = 0);
  void clear();  // takes the bar off the terminal before something else is printed

 private:
  std::string line() const;
  void draw();

  bool enabled_;
  bool bar_;
  bool drawn_ = false;
  std::string phase_;
  std::uint64_t done_ = 0, total_ = 0, sent_ = 0;
  std::chrono::steady_clock::time_point phase_begin_;
  std::chrono::steady_clock::time_point shown_;
};

}  // namespace vmferry::cli
