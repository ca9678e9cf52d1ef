#include "protocol/transport/known_hosts.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <fstream>
#include <optional>

#include "protocol/error.h"
#include "protocol/transport/ssh.h"
#include "protocol/transport/ssh_keys.h"

namespace vmferry {
namespace {

constexpr std::size_t file_bytes_max = 64u << 20;
constexpr std::string_view blanks = " \t\r";

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string_view take_field(std::string_view& rest) {
  const std::size_t begin = std::min(rest.find_first_not_of(blanks), rest.size());
  const std::size_t end = std::min(rest.find_first_of(blanks, begin), rest.size());
  const std::string_view field = rest.substr(begin, end - begin);
  rest.remove_prefix(end);
  return field;
}

// '*' and '?'; both in lower case.
bool matches_pattern(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

// "|1|salt|hash": base64, and the hash is HMAC-SHA1 of the name with the salt as its key.
bool matches_hash(std::string_view hashed, std::string_view name) {
  hashed.remove_prefix(3);
  const std::size_t bar = hashed.find('|');
  if (bar == std::string_view::npos) return false;
  const std::optional<Bytes> salt = decode_base64(hashed.substr(0, bar)), hash = decode_base64(hashed.substr(bar + 1));
  if (!salt || !hash) return false;
  std::array<std::byte, EVP_MAX_MD_SIZE> digest;
  unsigned digest_bytes = 0;
  ::HMAC(::EVP_sha1(), salt->data(), static_cast<int>(salt->size()), reinterpret_cast<const unsigned char*>(name.data()),
         name.size(), reinterpret_cast<unsigned char*>(digest.data()), &digest_bytes);
  return std::equal(hash->begin(), hash->end(), digest.begin(), digest.begin() + digest_bytes);
}

// A comma list of patterns, of which a negated one that matches wins; or one hashed name. `name` is in lower case.
bool matches_names(std::string_view names, const std::string& name) {
  if (names.starts_with("|1|")) return matches_hash(names, name);
  bool matches = false;
  while (!names.empty()) {
    const std::size_t comma = std::min(names.find(','), names.size());
    std::string pattern = lower(std::string(names.substr(0, comma)));
    names.remove_prefix(std::min(comma + 1, names.size()));
    const bool negated = pattern.starts_with('!');
    if (!matches_pattern(negated ? std::string_view(pattern).substr(1) : pattern, name)) continue;
    if (negated) return false;
    matches = true;
  }
  return matches;
}

}  // namespace

std::string known_hosts_name(const std::string& host, std::uint16_t port) {
  return port == ssh_port ? host : "[" + host + "]:" + std::to_string(port);
}

KnownHosts KnownHosts::read(const std::vector<std::filesystem::path>& files) {
  KnownHosts known;
  for (const std::filesystem::path& path : files) {
    std::error_code failure;
    const std::uintmax_t size = std::filesystem::file_size(path, failure);
    if (failure == std::errc::no_such_file_or_directory) continue;
    if (!failure && size > file_bytes_max)
      throw Error(ErrorCode::malformed, "this file of known hosts is too long to be one", path);
    std::ifstream file(path);
    if (failure || !file) throw system_error(failure ? failure.value() : errno, "cannot read the known hosts", path);
    std::string text;
    for (std::size_t number = 1; std::getline(file, text); ++number) {
      Line line;
      if (!parse(text, line)) continue;
      line.file = path;
      line.number = number;
      known.lines_.push_back(std::move(line));
    }
  }
  return known;
}

// [marker] names type base64 [comment]. What is not of this form, ssh skips as well.
bool KnownHosts::parse(std::string_view rest, Line& line) {
  std::string_view field = take_field(rest);
  if (field.empty() || field.starts_with('#')) return false;
  if (field.starts_with('@')) {
    if (field != "@revoked") return false;
    line.revoked = true;
    field = take_field(rest);
  }
  line.names = field;
  const std::string_view type = take_field(rest);
  std::optional<Bytes> key = decode_base64(take_field(rest));
  if (!key || key_type_of(*key) != type) return false;
  line.key = std::move(*key);
  return true;
}

KnownHosts::Answer KnownHosts::check_name(const std::string& name, ByteView key) const {
  const auto answer = [](Verdict verdict, const Line& line) { return Answer{verdict, line.file, line.number}; };
  std::optional<Answer> known, changed;
  for (const Line& line : lines_) {
    const bool same = std::equal(line.key.begin(), line.key.end(), key.begin(), key.end());
    if ((line.revoked && !same) || !matches_names(line.names, name)) continue;
    if (line.revoked) return answer(Verdict::revoked, line);
    if (same && !known) known = answer(Verdict::known, line);
    if (!same && !changed) changed = answer(Verdict::changed, line);
  }
  return known ? *known : changed ? *changed : Answer{};
}

KnownHosts::Answer KnownHosts::check(const std::string& host, std::uint16_t port, ByteView key) const {
  const Answer exact = check_name(lower(known_hosts_name(host, port)), key);
  if (exact.verdict != Verdict::unknown || port == ssh_port) return exact;
  // As ssh does: a key that is known for the host without a port is good for any of its ports; that another one is known
  // there says nothing.
  const Answer any_port = check_name(lower(host), key);
  return any_port.verdict == Verdict::changed ? Answer{} : any_port;
}

std::vector<std::string> KnownHosts::key_types(const std::string& host, std::uint16_t port) const {
  std::vector<std::string> types;
  for (const std::string& name : {known_hosts_name(host, port), host}) {
    for (const Line& line : lines_) {
      const std::string type = key_type_of(line.key);
      if (!line.revoked && std::find(types.begin(), types.end(), type) == types.end() &&
          matches_names(line.names, lower(name)))
        types.push_back(type);
    }
    if (!types.empty()) break;
  }
  return types;
}

}  // namespace vmferry
