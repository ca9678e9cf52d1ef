// Leases: leases/SESSION, flock'ed by the process that runs the session: it holds a machine (one backup of it at a
// time) and names the base points that must not be deleted meanwhile. A file that nobody locks is of a dead session,
// and is removed. Every call is made under the points lock. docs/format/store.md has the file's lines.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "target-server/store/store.h"

namespace vmferry::store {

// Error{busy} where a live session holds the machine.
std::unique_ptr<Store::Lease> take_lease(const std::filesystem::path& store, const Uuid& client, const Uuid& machine,
                                         std::span<const Uuid> base_points);
// Error{busy} where a live session has leased the point.
void check_not_leased(const std::filesystem::path& store, const Uuid& point);

}  // namespace vmferry::store
