// UTF-8, strictly: no overlong forms, no surrogates, nothing past U+10FFFF. For NTFS's names, which know no such
// rules, file_index.h has to_utf8 and to_utf16.
#pragma once

#include <string_view>

namespace vmferry {

bool valid_utf8(std::string_view text) noexcept;

}  // namespace vmferry
