#include "protocol/transport/last_lines.h"

#include <algorithm>
#include <vector>

namespace vmferry {
namespace {

constexpr std::size_t kept_bytes_max = 2048;
constexpr std::size_t lines_max = 4;

}  // namespace

std::string plain_text(std::string_view text) {
  std::string plain(text);
  for (char& c : plain)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return plain;
}

void LastLines::add(std::string_view text) {
  const std::lock_guard lock(mutex_);
  kept_ += text.substr(text.size() - std::min(text.size(), kept_bytes_max));
  if (kept_.size() > kept_bytes_max) kept_.erase(0, kept_.size() - kept_bytes_max);
}

std::string LastLines::text() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < kept_.size();) {
    const std::size_t end = std::min(kept_.find('\n', at), kept_.size());
    std::string line = kept_.substr(at, end - at);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) lines.push_back(plain_text(line));
    at = end + 1;
  }
  std::string joined;
  for (std::size_t i = lines.size() - std::min(lines.size(), lines_max); i < lines.size(); ++i)
    joined += (joined.empty() ? "" : "; ") + lines[i];
  return joined;
}

}  // namespace vmferry
