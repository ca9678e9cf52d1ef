// name_traffic: what a ledger counted, with names for a person. The guest's names are hostile: orphans and loops are
// "[lost]/...", depth, length and memory are bounded. Once per backup, when nothing is under way any more.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "engine/backup/layout.h"
#include "engine/backup/traffic.h"
#include "engine/catalog/traffic.h"

namespace vmferry::backup {

struct NamingLimits {
  std::size_t rows_max = catalog::traffic_rows_max;     // the largest; the others are one row
  std::size_t directories_bytes_max = 64u << 20;        // of one volume; past it files become "[file 1234]"
};

// layouts and disk_keys are beside each other, as the ledger's disk numbers count; an account of a disk past them is of
// the machine's own files. Only volumes with an account are looked at: their file index is walked once. The result has
// no identity yet (TrafficPoint::identify). Throws what reading a spool throws.
catalog::PointTraffic name_traffic(const TrafficLedger& ledger, std::span<const std::unique_ptr<DiskLayout>> layouts,
                                   std::span<const std::string> disk_keys, const NamingLimits& limits = {});

}  // namespace vmferry::backup
