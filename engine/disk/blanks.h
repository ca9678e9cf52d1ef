// Blanks of the lines in text descriptors and .vmx files, whose line ends may be Windows' ones.
#pragma once

#include <string_view>

namespace vmferry::disk {

inline constexpr std::string_view blanks = " \t\r";

inline std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

}  // namespace vmferry::disk
