// The lock that keeps one machine to one backup at a time on this host: a flock on a file in `locks` beside the catalog.
#pragma once

#include <filesystem>
#include <memory>

#include "engine/catalog/catalog.h"

namespace vmferry::catalog {

std::unique_ptr<MachineLock> take_machine_lock(const std::filesystem::path& directory, const Uuid& machine);

}  // namespace vmferry::catalog
