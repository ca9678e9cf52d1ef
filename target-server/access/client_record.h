// ClientRecord: one client of a store as its file says, clients/NAME.toml: who it is, and what it may do. Plain files,
// edited by `vmferry-target client`, so that losing a database locks nobody out. docs/format/clients.md has the form.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "protocol/transport/tls.h"
#include "protocol/uuid.h"

namespace vmferry::access {

enum class Role : unsigned {
  sender = 1,    // adds restore points to machines of its own, and reads those
  reader = 2,    // lists and reads everything that its patterns let it see
  replica = 4,   // brings points of other clients, with their numbers and times
  operate = 8,   // "operator": reads everything, and asks the target to check itself
};

// A set of roles.
class Roles {
 public:
  Roles() = default;
  static Roles parse(const std::string& text);  // "sender,reader"; throws Error{usage}
  std::string to_string() const;

  void add(Role role) noexcept { bits_ |= static_cast<unsigned>(role); }
  bool has(Role role) const noexcept { return (bits_ & static_cast<unsigned>(role)) != 0; }
  bool none() const noexcept { return bits_ == 0; }
  bool operator==(const Roles&) const = default;

 private:
  unsigned bits_ = 0;
};

struct ClientRecord {
  std::string name;
  Roles roles;
  std::vector<std::string> machines;   // patterns as of a shell: '*', '?', '[...]'; none: all machines
  std::optional<KeyFingerprint> key;   // that it shows over TLS; none: it comes over SSH only
  Uuid client_uuid;                    // the controller that it is, once it has enrolled or connected
  std::int64_t added_ms = 0;
  std::int64_t revoked_ms = 0;         // 0: it is not

  bool revoked() const noexcept { return revoked_ms != 0; }
  bool operator==(const ClientRecord&) const = default;
};

// A to Z, a to z, 0 to 9, '.', '_', '-', at most 64 of them, no '.' in front: it becomes a file's name.
bool valid_client_name(const std::string& name);
void check_client_name(const std::string& name);  // throws Error{usage}

// At most 64 KiB. Throw Error{damaged} for a file that is none.
ClientRecord read_client(const std::filesystem::path& file);
void write_client(const std::filesystem::path& file, const ClientRecord& client);  // durable, whole or not at all

// An invitation: what a client that has not shown its key yet will be. Its file's name is the hash of a secret.
struct Invitation {
  ClientRecord client;
  std::int64_t expires_ms = 0;
};
Invitation read_invitation(const std::filesystem::path& file);
void write_invitation(const std::filesystem::path& file, const Invitation& invitation);

}  // namespace vmferry::access
