#include "engine/disk/vmdk_descriptor.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <utility>

#include "engine/disk/blanks.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::disk {
namespace {

std::string_view unquoted(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') return text.substr(1, text.size() - 2);
  return text;
}

std::string in_case(std::string_view text, int (*change)(int)) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(change(static_cast<unsigned char>(c)));
  return out;
}

template <typename T>
std::optional<T> number_of(std::string_view text, int base) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Takes the next word off the line; a word in quotes may hold blanks.
std::string_view next_word(std::string_view& line) {
  line = trimmed(line);
  std::size_t end = 0;
  std::size_t after = 0;
  std::string_view word;
  if (line.starts_with('"')) {
    end = line.find('"', 1);
    if (end == std::string_view::npos) return {};
    word = line.substr(1, end - 1);
    after = end + 1;
  } else {
    end = std::min(line.find_first_of(blanks), line.size());
    word = line.substr(0, end);
    after = end;
  }
  line.remove_prefix(after);
  return word;
}

class Parser {
 public:
  Parser(std::string text, const std::string& name) : name_(name) { out_.text = std::move(text); }

  Descriptor run() && {
    if (out_.text.size() > limits::descriptor_bytes_max) malformed("it is too large");
    if (out_.text.find('\0') != std::string::npos) malformed("it holds a NUL");
    std::string_view rest = out_.text;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      line(trimmed(rest.substr(0, end)));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (out_.extents.empty()) malformed("it names no extent");
    if (out_.has_parent() && out_.parent_hint.empty()) malformed("it has a parent but does not name it");
    if (!out_.has_parent() && !out_.parent_hint.empty())
      malformed("it names the parent " + out_.parent_hint + " but not the parent's CID");
    return std::move(out_);
  }

 private:
  void line(std::string_view text) {
    if (text.empty() || text.front() == '#') return;
    std::string_view rest = text;
    const std::string first = in_case(next_word(rest), std::toupper);
    if (first == "RW" || first == "RDONLY" || first == "NOACCESS") {
      extent(first, rest);
      return;
    }
    if (const std::size_t equals = text.find('='); equals != std::string_view::npos)
      value(trimmed(text.substr(0, equals)), unquoted(trimmed(text.substr(equals + 1))));
  }

  void extent(const std::string& access, std::string_view rest) {
    if (out_.extents.size() >= limits::extents_max) malformed("it has too many extents");
    ExtentLine extent;
    if (access == "RDONLY") extent.access = ExtentLine::Access::read_only;
    if (access == "NOACCESS") extent.access = ExtentLine::Access::none;
    const std::optional<std::uint64_t> sectors = number_of<std::uint64_t>(next_word(rest), 10);
    if (!sectors || *sectors == 0 || *sectors > limits::disk_bytes_max / 512)
      malformed("an extent's size makes no sense");
    extent.sectors = *sectors;
    extent.type = in_case(next_word(rest), std::toupper);
    if (extent.type.empty()) malformed("an extent has no type");
    extent.file_name = next_word(rest);
    if (const std::string_view sector = next_word(rest); !sector.empty()) {
      // Only a flat extent has one; what else may follow belongs to devices, which are refused.
      const std::optional<std::uint64_t> number = number_of<std::uint64_t>(sector, 10);
      if (!number || *number > limits::disk_bytes_max / 512) malformed("an extent's place in its file makes no sense");
      extent.file_sector = *number;
    }
    out_.extents.push_back(std::move(extent));
  }

  void value(std::string_view key, std::string_view content) {
    const std::string lower = in_case(key, std::tolower);
    if (lower == "cid") out_.cid = cid_of(content);
    if (lower == "parentcid") out_.parent_cid = cid_of(content);
    if (lower == "createtype") out_.create_type = content;
    if (lower == "parentfilenamehint") out_.parent_hint = content;
    if (lower.starts_with("encryption") && !content.empty() && lower != "encoding")
      throw Error(ErrorCode::unsupported, "cannot read an encrypted disk", name_, "decrypt it first");
    if (lower.starts_with("ddb.")) out_.ddb.emplace(key, content);
  }

  std::uint32_t cid_of(std::string_view text) const {
    const std::optional<std::uint32_t> number = number_of<std::uint32_t>(text, 16);
    if (!number) malformed("a CID makes no sense");
    return *number;
  }

  [[noreturn]] void malformed(std::string why) const {
    throw Error(ErrorCode::malformed, "cannot read a disk's descriptor", name_, std::move(why));
  }

  const std::string& name_;
  Descriptor out_;
};

}  // namespace

Descriptor parse_descriptor(std::string text, const std::string& name) { return Parser(std::move(text), name).run(); }

bool looks_like_descriptor(std::string_view start) {
  const std::string lower = in_case(trimmed(start.substr(0, 64)), std::tolower);
  if (lower.starts_with("# disk descriptorfile") || lower.starts_with("\xef\xbb\xbf# disk descriptorfile")) return true;
  // Another first line: take it for text only if it says what only a descriptor says.
  const std::string_view text = start.substr(0, start.find_last_not_of('\0') + 1);
  if (text.find('\0') != std::string_view::npos) return false;
  const std::string whole = in_case(text, std::tolower);
  return whole.find("createtype") != std::string::npos && whole.find("parentcid") != std::string::npos;
}

}  // namespace vmferry::disk
