#include "target-server/access/access.h"

#include <fnmatch.h>

#include <algorithm>

#include "protocol/error.h"

namespace vmferry::access {

const std::string& Access::name() const noexcept {
  static const std::string nobody;
  return record_ ? record_->name : nobody;
}

bool Access::names(const std::string& machine_name) const {
  return record_->machines.empty() || std::ranges::any_of(record_->machines, [&](const std::string& pattern) {
           return ::fnmatch(pattern.c_str(), machine_name.c_str(), 0) == 0;
         });
}

void Access::refuse(const std::string& what, const std::string& machine_name) const {
  throw Error(ErrorCode::permission, "client " + record_->name + " may not " + what, machine_name,
              "its roles here: " + record_->roles.to_string() +
                  (record_->machines.empty() ? "" : ", and only for some machines") +
                  "; the target's administrator can change that (vmferry-target client)");
}

void Access::throw_another_controller(const Uuid& client_uuid) const {
  throw Error(ErrorCode::refused, "client " + record_->name + " is another controller", client_uuid.to_string(),
              "the target knows it as " + record_->client_uuid.to_string() +
                  ": bring its client.uuid back, or enrol this one anew");
}

bool Access::wants_binding() const noexcept {
  return record_ && record_->roles.has(Role::sender) && record_->client_uuid.is_none();
}

void Access::check_identity(const Uuid& client_uuid) const {
  if (!record_ || !record_->roles.has(Role::sender) || record_->client_uuid.is_none() ||
      record_->client_uuid == client_uuid)
    return;
  // A sender that reads too may do so from anywhere, as somebody else; it just has no points of its own then.
  if (record_->roles.has(Role::reader) || record_->roles.has(Role::replica)) return;
  throw_another_controller(client_uuid);
}

void Access::check_add(const std::string& machine_name, const Uuid& client_uuid) const {
  if (!record_) return;
  if (!record_->roles.has(Role::sender) || !names(machine_name)) refuse("back up this machine", machine_name);
  if (record_->client_uuid != client_uuid) throw_another_controller(client_uuid);
}

void Access::check_replicate(const std::string& machine_name) const {
  if (!record_) return;
  if (!record_->roles.has(Role::replica) || !names(machine_name))
    refuse("bring another client's restore points", machine_name);
}

bool Access::may_read(const PointSummary& point, const Uuid& client_uuid) const {
  if (!record_) return true;
  const Roles roles = record_->roles;
  if (roles.has(Role::operate)) return true;
  if (!names(point.machine_name)) return false;
  if (roles.has(Role::reader) || roles.has(Role::replica)) return true;
  return roles.has(Role::sender) && point.client_uuid == client_uuid;
}

}  // namespace vmferry::access
