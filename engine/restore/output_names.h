// Names for outputs, made from names that a guest, a .vmx or another host wrote: never a path, never twice the same.
// Pure.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace vmferry::restore {

// Why a Unix file system cannot hold the name, or should not; nullopt: it can. Refused: empty, ".", "..", '/', NUL and
// other control characters, more than 255 bytes.
std::optional<std::string> why_bad_name(std::string_view name);

// The name without what terminals and log readers could take for something else, for messages.
std::string printable(std::string_view text);

// The last part of a path of any system, or `otherwise` where that is no good name.
std::string last_part(std::string_view path, std::string_view otherwise);

// UniqueNames: hands each name out once; the second "a.vmdk" becomes "a-1.vmdk". Compares without ASCII case.
class UniqueNames {
 public:
  std::string take(const std::string& name);
  bool is_taken(const std::string& name) const;

 private:
  std::set<std::string> taken_;
};

}  // namespace vmferry::restore
