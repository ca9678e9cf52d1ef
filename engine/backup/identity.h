// Identity: which machine and which disks these are, so that the next backup of the same ones is known to be one.
// A UUID that the machine or disk carries itself comes first, then what its partition table says, then what was made
// up for this name before (catalog, or the last point at the target), then a random one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/backup/source.h"
#include "engine/catalog/catalog.h"
#include "protocol/session/target_session.h"

namespace vmferry::backup {

struct DiskIdentity {
  Uuid uuid;
  bool made_up = false;     // the disk itself carries none
  bool remembered = false;  // carried, derived or remembered: the next backup will find the same
};

struct Identity {
  std::string name;
  Uuid machine;
  bool machine_made_up = false;
  std::vector<DiskIdentity> disks;  // beside source.disks()
};

// The name under which a source is backed up: `name`, or the source's own where that is empty. Throws Error{usage} for
// a name that cannot be one.
std::string machine_name_of(const Source& source, const std::string& name);
// Throws as machine_name_of() does, and what the session throws.
Identity identify(const Source& source, const std::string& name, catalog::Catalog& catalog,
                  target::TargetSession& session);
// The same where no target need be asked.
std::optional<Identity> identify_alone(const Source& source, const std::string& name, catalog::Catalog& catalog);
// Under which a made-up disk UUID is remembered.
std::string disk_memory_name(const std::string& machine_name, const std::string& disk_key);

}  // namespace vmferry::backup
