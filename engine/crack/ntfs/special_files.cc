#include "engine/crack/ntfs/special_files.h"

#include <algorithm>
#include <string>

#include "engine/crack/ntfs/little_endian.h"

namespace vmferry::crack {
namespace {

constexpr std::uint32_t attribute_hidden = 2;
constexpr std::uint32_t attribute_system = 4;
constexpr std::u16string_view shadow_store_suffix = u"{3808876b-c176-4e48-b7ae-04046e6cc752}";

char16_t ascii_lower(char16_t unit) { return unit >= u'A' && unit <= u'Z' ? static_cast<char16_t>(unit + 32) : unit; }

bool equal_but_for_case(std::u16string_view a, std::u16string_view b) {
  return std::ranges::equal(a, b, {}, ascii_lower, ascii_lower);
}

}  // namespace

Excludable excludable_name(std::u16string_view name) {
  if (equal_but_for_case(name, u"pagefile.sys") || equal_but_for_case(name, u"swapfile.sys")) return Excludable::pagefile;
  return equal_but_for_case(name, u"hiberfil.sys") ? Excludable::hiberfile : Excludable::no;
}

Excludable excludable_file(const FileRecord& file) {
  constexpr std::uint32_t both = attribute_hidden | attribute_system;
  if (file.directory || (file.attributes & both) != both || file.reparse_tag != 0 || file.names.empty()) return Excludable::no;
  const Excludable kind = excludable_name(file.names.front().name);
  for (const FileLink& link : file.names) {
    if (mft_record_number(link.parent) != root_directory_record || excludable_name(link.name) != kind) return Excludable::no;
  }
  return kind;
}

bool is_shadow_store_name(std::u16string_view name) {
  return name.size() > shadow_store_suffix.size() && name.front() == u'{' &&
         equal_but_for_case(name.substr(name.size() - shadow_store_suffix.size()), shadow_store_suffix);
}

bool hiberfile_says_asleep(ByteView header) {
  if (header.size() < 4) return false;
  const std::string_view magic = as_text(header.first(4));
  if (magic == "wake" || magic == "WAKE") return false;
  return std::ranges::any_of(header, [](std::byte b) { return b != std::byte{0}; });
}

}  // namespace vmferry::crack
