// Access: what the peer of one session may do: a pure decision over its client's record. Inside a domain, names confine
// what a client may list, write and restore; they are no secrecy boundary for chunks (DESIGN.md).
#pragma once

#include <optional>
#include <string>

#include "protocol/point.h"
#include "target-server/access/client_record.h"

namespace vmferry::access {

class Access {
 public:
  // The owner of the store: came through its own socket or directory, and may do everything that a session can.
  static Access owner() { return Access({}); }
  static Access client(ClientRecord record) { return Access(std::move(record)); }

  bool is_owner() const noexcept { return !record_; }
  const std::string& name() const noexcept;   // "" for the owner

  // Who the peer says it is: which controller's points are its own. Throws Error{refused} where a sender says that it is
  // another controller than the one that enrolled.
  void check_identity(const Uuid& client_uuid) const;
  // True where the record does not know yet which controller it is, and is to.
  bool wants_binding() const noexcept;

  bool may_replicate() const noexcept { return !record_ || record_->roles.has(Role::replica); }
  // Each throws Error{permission}.
  void check_add(const std::string& machine_name, const Uuid& client_uuid) const;  // a backup of this machine
  void check_replicate(const std::string& machine_name) const;                     // a point of anybody's

  // Of points: its own where it is a sender, all that its patterns name where it is a reader.
  bool may_read(const PointSummary& point, const Uuid& client_uuid) const;
  bool may_read(const RestorePoint& point, const Uuid& client_uuid) const { return may_read(summarize(point), client_uuid); }

 private:
  explicit Access(std::optional<ClientRecord> record) : record_(std::move(record)) {}
  bool names(const std::string& machine_name) const;
  [[noreturn]] void throw_another_controller(const Uuid& client_uuid) const;
  [[noreturn]] void refuse(const std::string& what, const std::string& machine_name) const;

  std::optional<ClientRecord> record_;
};

}  // namespace vmferry::access
