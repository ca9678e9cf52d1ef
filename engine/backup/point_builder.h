// The restore point that a backup writes, from what its parts found out. Pure.
#pragma once

#include <string>
#include <vector>

#include "engine/backup/identity.h"
#include "engine/backup/layout.h"
#include "engine/backup/source.h"
#include "protocol/point.h"

namespace vmferry::backup {

// Everything but the tree roots.
PointDisk describe_disk(const SourceDisk& disk, const DiskIdentity& identity, const DiskLayout& layout);

// Volumes that `former` (may be null) has cracked and `now` has not.
std::vector<Warning> no_longer_cracked(const PointDisk* former, const PointDisk& now);

}  // namespace vmferry::backup
