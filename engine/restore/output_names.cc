#include "engine/restore/output_names.h"

#include <algorithm>

namespace vmferry::restore {
namespace {

constexpr std::size_t name_bytes_max = 255;  // NAME_MAX

bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20) || c == 0x7f; }

std::string folded_name(std::string_view name) {
  std::string result(name);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

}  // namespace

std::optional<std::string> why_bad_name(std::string_view name) {
  if (name.empty()) return "it is empty";
  if (name == "." || name == "..") return "it means another directory";
  if (name.find('/') != std::string_view::npos) return "it holds a '/'";
  if (std::any_of(name.begin(), name.end(), is_control)) return "it holds a control character";
  if (name.size() > name_bytes_max) return "it is longer than 255 bytes";
  return std::nullopt;
}

std::string printable(std::string_view text) {
  std::string result(text.substr(0, 1024));
  std::replace_if(result.begin(), result.end(), is_control, '?');
  return result;
}

std::string last_part(std::string_view path, std::string_view otherwise) {
  const std::size_t slash = path.find_last_of("/\\");
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return std::string(why_bad_name(name) ? otherwise : name);
}

std::string UniqueNames::take(const std::string& name) {
  std::string candidate = name;
  const std::size_t dot = std::min(name.rfind('.'), name.size());
  for (unsigned i = 1; !taken_.insert(folded_name(candidate)).second; ++i)
    candidate = name.substr(0, dot) + "-" + std::to_string(i) + name.substr(dot);
  return candidate;
}

bool UniqueNames::is_taken(const std::string& name) const { return taken_.contains(folded_name(name)); }

}  // namespace vmferry::restore
