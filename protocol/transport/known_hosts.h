// KnownHosts: what ssh's known_hosts files say about a host's key, by the rules of sshd(8): plain, wildcard, negated and
// hashed names, [host]:port, @revoked. A line with @cert-authority is for certificates, which we do not take, so it knows
// no key. (libssh2 has a reader of its own, which ignores @revoked and does not tell file and line.)
// Read once; then immutable, from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.h"

namespace vmferry {

class KnownHosts {
 public:
  // Files that are not there count as empty. Throws Error where one cannot be read.
  static KnownHosts read(const std::vector<std::filesystem::path>& files);

  enum class Verdict {
    known,
    unknown,
    changed,  // the host is known by other keys only
    revoked,
  };
  struct Answer {
    Verdict verdict = Verdict::unknown;
    std::filesystem::path file;  // of the line that decides
    std::size_t line = 0;
  };
  Answer check(const std::string& host, std::uint16_t port, ByteView key) const;
  // The types of the keys that the host is known by, in the files' order, each once: what to ask it for.
  std::vector<std::string> key_types(const std::string& host, std::uint16_t port) const;

 private:
  struct Line {
    std::string names;
    Bytes key;
    bool revoked = false;
    std::filesystem::path file;
    std::size_t number = 0;
  };
  static bool parse(std::string_view text, Line& line);
  Answer check_name(const std::string& name, ByteView key) const;

  std::vector<Line> lines_;
};

// The name under which a host is listed: "host", or "[host]:port" for another port than 22.
std::string known_hosts_name(const std::string& host, std::uint16_t port);

}  // namespace vmferry
