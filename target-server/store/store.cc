#include "target-server/store/store.h"

#include "protocol/error.h"
#include "target-server/store/about_file.h"
#include "target-server/store/domain_file.h"
#include "target-server/store/local_files.h"
#include "target-server/store/local_store.h"

namespace vmferry::store {
namespace {

std::uint64_t random_seed() {
  const Uuid random = Uuid::random();
  return ByteReader(random.view()).u64() ^ ByteReader(random.view().last(8)).u64() << 7;
}

// Absolute, so that the store stays where it is when the process changes its directory.
std::filesystem::path place_of(const std::filesystem::path& directory) {
  if (directory.empty()) throw Error(ErrorCode::usage, "the store's directory is not named");
  return std::filesystem::absolute(directory).lexically_normal();
}

}  // namespace

void Store::init(const std::filesystem::path& directory, const ChunkingParameters& chunking) {
  DomainFacts domain{Uuid::random(), DomainKey::random(), chunking};
  if (domain.chunking.gear_seed == 0) domain.chunking.gear_seed = random_seed();
  init(directory, domain);
}

void Store::init(const std::filesystem::path& directory, const DomainFacts& domain) {
  domain.chunking.validate();
  const std::filesystem::path store = place_of(directory);
  if (facts_of(store / about_file_name))
    throw Error(ErrorCode::exists, "there is a store already", store, "use it, or choose another directory");
  for (const std::string& name : names_in(store))
    if (name != "lost+found")
      throw Error(ErrorCode::exists, "the directory is not empty", store,
                  "a store wants a directory of its own; choose another");
  make_directory(store);
  std::filesystem::permissions(store, std::filesystem::perms::owner_all);
  for (const char* folder : {"domains", "packs", "journal", "points", "machines", "leases"})
    make_directory(store / folder);

  write_domain(store, domain);
  write_about(store, {Uuid::random(), domain.uuid});  // last: from now on it is a store
}

std::unique_ptr<Store> Store::open(const std::filesystem::path& directory, const StoreOptions& options) {
  return std::make_unique<LocalStore>(place_of(directory), options);
}

}  // namespace vmferry::store
