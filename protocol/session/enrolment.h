// Enrolment: how a client and a target come to know each other's keys. The target's administrator makes a line
// (`vmferry-target client add`), good once and for an hour; the client reads it from standard input, connects to the
// address in it, accepts no key but the one whose fingerprint is in it, shows a key of its own and the line's secret. From
// then on each knows the other by its key, and the secret is worth nothing. docs/format/enrolment.md.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "protocol/session/target_session.h"
#include "protocol/transport/tls.h"

namespace vmferry::target {

// One line of text: "vmferry-enrol-1:" and base64url of address, fingerprint, secret, and a check.
struct EnrolmentLine {
  HostPort address;
  KeyFingerprint server;
  std::array<std::byte, 32> secret{};
};
std::string encode_enrolment_line(const EnrolmentLine& line);
// White space around it is fine. Throws Error{usage} for what is none, or was not copied whole.
EnrolmentLine parse_enrolment_line(const std::string& text);

// What a client keeps of a target: a file of mode 0600, named after the address.
struct Enrolment {
  HostPort address;
  KeyFingerprint server;
  TlsIdentity identity;       // the client's own key
  std::string client;         // what the target calls it
  std::string roles;          // as they were then
  Uuid store_uuid;
};

// /etc/vmferry/targets as root, else $XDG_CONFIG_HOME/vmferry/targets.
std::filesystem::path default_enrolments_directory();
// Throws Error{not_found} with what to do where this host has not enrolled there; Error{permission}, also where others may read
// the file.
Enrolment load_enrolment(const std::filesystem::path& directory, const HostPort& address);
std::vector<HostPort> enrolled_targets(const std::filesystem::path& directory);

// Connects, enrols and writes the file. Throws what connect_tls() and the target do; Error{exists} where there is one for
// this address and `replace` is not set (before anything is used up).
Enrolment enroll(const EnrolmentLine& line, const ClientFacts& client, const std::filesystem::path& directory,
                 bool replace);

}  // namespace vmferry::target
