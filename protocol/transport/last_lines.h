// LastLines: the end of what a program said on its standard error, bounded whatever it says, for the error that tells a
// person why it failed. Thread-safe.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

namespace vmferry {

// For a terminal: control characters as '?'.
std::string plain_text(std::string_view text);

class LastLines {
 public:
  void add(std::string_view text);
  // The last lines that are not empty, joined with "; ", control characters as '?'. Empty: it said nothing.
  std::string text() const;

 private:
  mutable std::mutex mutex_;
  std::string kept_;
};

}  // namespace vmferry
