// The domain's file: key, chunking parameters, gear seed, as text with a checksum line: the same text that `key
// export` prints, so a printed export can be put back as the file. Losing it loses the store (no chunk id could be
// checked any more), so there are three copies, in two folders; a writer heals what is missing or damaged.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "target-server/store/store.h"

namespace vmferry::store {

void write_domain(const std::filesystem::path& store, const DomainFacts& domain);

struct LoadedDomain {
  DomainFacts facts;
  std::vector<std::filesystem::path> bad_copies;  // missing or damaged
};
// Error{damaged} where no copy is good: says that an export can be put back, and where.
LoadedDomain load_domain(const std::filesystem::path& store, const Uuid& domain);

}  // namespace vmferry::store
