#include "engine/disk/vmx.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <map>
#include <tuple>

#include "engine/disk/blanks.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::disk {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = lower(c);
  return result;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// A quote, a bar and control characters are written as |XX in a value.
std::string unescaped(std::string_view value) {
  std::string result;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const int high = value[i] == '|' && i + 2 < value.size() ? hex_digit(value[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(value[i + 2]) : -1;
    if (low >= 0) i += 2;
    result += low >= 0 ? static_cast<char>(high << 4 | low) : value[i];
  }
  return result;
}

std::string escaped(std::string_view value) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string result;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f && c != '"' && c != '|') {
      result += c;
    } else {
      result += '|';
      result += digits[byte >> 4];
      result += digits[byte & 15];
    }
  }
  return result;
}

// One line of the file: [begin, end) without its line break.
struct Line {
  std::size_t begin = 0, end = 0;
  std::string_view key;  // empty: a comment, a blank line
  std::string value;
};

[[noreturn]] void malformed(std::size_t line_number, const std::string& why) {
  throw Error(ErrorCode::malformed, "cannot read the .vmx file", "line " + std::to_string(line_number), why);
}

void parse_assignment(std::string_view text, std::size_t line_number, Line& line) {
  const std::string_view content = trimmed(text);
  if (content.empty() || content.front() == '#') return;
  const std::size_t equals = content.find('=');
  if (equals == std::string_view::npos) malformed(line_number, "it is not of the form KEY = \"VALUE\"");
  line.key = trimmed(content.substr(0, equals));
  if (line.key.empty()) malformed(line_number, "it has no key before '='");
  std::string_view value = trimmed(content.substr(equals + 1));
  if (value.starts_with('"')) {
    const std::size_t close = value.find('"', 1);
    if (close == std::string_view::npos) malformed(line_number, "the closing quote is missing");
    const std::string_view rest = trimmed(value.substr(close + 1));
    if (!rest.empty() && rest.front() != '#') malformed(line_number, "something follows the closing quote");
    value = value.substr(1, close - 1);
  }
  line.value = unescaped(value);
}

template <typename Visit>
void for_each_line(std::string_view text, Visit visit) {
  std::size_t number = 0;
  for (std::size_t begin = text.starts_with("\xef\xbb\xbf") ? 3 : 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    Line line{begin, end, {}, {}};
    parse_assignment(text.substr(begin, end - begin), ++number, line);
    if (!visit(line)) return;
    begin = end + 1;
  }
}

// "scsi0:1" in parts, for sorting as people count.
struct Slot {
  std::string bus;
  unsigned controller = 0, unit = 0;
  bool operator<(const Slot& other) const {
    return std::tie(bus, controller, unit) < std::tie(other.bus, other.controller, other.unit);
  }
};

std::optional<Slot> parse_slot(std::string_view key) {
  for (const std::string_view bus : {"scsi", "sata", "ide", "nvme"}) {
    if (!key.starts_with(bus)) continue;
    Slot slot{std::string(bus), 0, 0};
    const char* const end = key.data() + key.size();
    const auto controller = std::from_chars(key.data() + bus.size(), end, slot.controller);
    if (controller.ec != std::errc{} || controller.ptr == end || *controller.ptr != ':') return std::nullopt;
    const auto unit = std::from_chars(controller.ptr + 1, end, slot.unit);
    if (unit.ec != std::errc{} || unit.ptr != end) return std::nullopt;
    return slot;
  }
  return std::nullopt;
}

}  // namespace

Vmx Vmx::parse(std::string text) {
  if (text.size() > limits::config_file_bytes_max)
    throw Error(ErrorCode::malformed, "the .vmx file is too long", {}, "at most 1 MiB is read");
  if (text.find('\0') != std::string::npos)
    throw Error(ErrorCode::malformed, "this is not a .vmx file", {}, "it holds zero bytes");
  std::vector<std::pair<std::string, std::string>> seen;
  for_each_line(text, [&](const Line& line) {
    if (!line.key.empty()) seen.emplace_back(lower(line.key), line.value);
    return true;
  });
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  const auto twice = std::adjacent_find(seen.begin(), seen.end(),
                                        [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice != seen.end())
    throw Error(ErrorCode::malformed, "the .vmx file sets a key twice", twice->first, "remove one of the two lines");
  Vmx vmx;
  vmx.text_ = std::move(text);
  return vmx;
}

Vmx Vmx::load(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw system_error(errno, "cannot open the .vmx file", file.string());
  std::string text(limits::config_file_bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) throw Error(ErrorCode::failed, "cannot read the .vmx file", file.string());
  text.resize(static_cast<std::size_t>(in.gcount()));
  try {
    return parse(std::move(text));
  } catch (const Error& error) {
    throw Error(error.code(), error.what(), file.string());
  }
}

std::optional<std::string> Vmx::get(std::string_view key) const {
  std::optional<std::string> value;
  const std::string wanted = lower(key);
  for_each_line(text_, [&](const Line& line) {
    if (lower(line.key) == wanted && !line.key.empty()) value = line.value;
    return !value;
  });
  return value;
}

void Vmx::set(std::string_view key, std::string_view value) {
  const std::string wanted = lower(key);
  std::string changed;
  std::size_t kept_to = 0;  // text_ up to here is in `changed`
  for_each_line(text_, [&](const Line& line) {
    if (line.key.empty() || lower(line.key) != wanted) return true;
    const bool carriage_return = line.end > line.begin && text_[line.end - 1] == '\r';
    changed.append(text_, kept_to, line.begin - kept_to);
    changed.append(line.key).append(" = \"").append(escaped(value)).append(carriage_return ? "\"\r" : "\"");
    kept_to = line.end;
    return true;
  });
  const bool replaced = kept_to > 0;
  changed.append(text_, kept_to);
  if (!replaced) {
    const std::string_view line_break = text_.find("\r\n") != std::string::npos ? "\r\n" : "\n";
    if (!changed.empty() && changed.back() != '\n') changed += line_break;
    changed.append(key).append(" = \"").append(escaped(value)).append("\"").append(line_break);
  }
  text_ = std::move(changed);
}

std::string Vmx::display_name() const { return get("displayName").value_or(""); }

Uuid Vmx::bios_uuid() const {
  const std::optional<std::string> text = get("uuid.bios");
  return text ? Uuid::parse(*text).value_or(Uuid{}) : Uuid{};
}

std::vector<VmxDisk> Vmx::disks() const {
  static constexpr std::string_view suffix = ".filename";
  std::map<std::string, std::string> values;  // a look-up per line would be quadratic in a long file
  for_each_line(text_, [&](const Line& line) {
    if (!line.key.empty()) values.emplace(lower(line.key), line.value);
    return true;
  });
  const auto value = [&](const std::string& key) {
    const auto found = values.find(key);
    return found == values.end() ? std::string() : found->second;
  };
  std::map<Slot, VmxDisk> by_slot;
  for (const auto& [key, file_name] : values) {
    if (!key.ends_with(suffix) || file_name.empty()) continue;
    const std::string device = key.substr(0, key.size() - suffix.size());
    const std::optional<Slot> slot = parse_slot(device);
    if (!slot || lower(value(device + ".present")) != "true") continue;
    // A controller that is switched off takes its disks with it.
    const std::string controller = value(slot->bus + std::to_string(slot->controller) + ".present");
    if (!controller.empty() && lower(controller) != "true") continue;
    const bool cdrom = lower(value(device + ".devicetype")).find("cdrom") != std::string::npos;
    if (!cdrom && !lower(file_name).ends_with(".iso"))
      by_slot.emplace(*slot, VmxDisk{device, file_name, value(device + ".mode")});
  }
  std::vector<VmxDisk> disks;
  for (auto& [slot, disk] : by_slot) disks.push_back(std::move(disk));
  return disks;
}

bool Vmx::suspended() const { return !get("checkpoint.vmState").value_or("").empty(); }

}  // namespace vmferry::disk
