// Recovery: brings the index up to what packs and journal hold, when a store is opened. Packs are the truth: an index
// that is older, newer, lost or of other content comes right, a torn tail is cut off the journal, and bytes that may
// once have been durable are never cut without a copy.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "protocol/point.h"
#include "target-server/store/chunk_index.h"
#include "target-server/store/journal.h"
#include "target-server/store/object_store.h"
#include "target-server/store/store.h"

namespace vmferry::store {

struct StorePlace {
  std::filesystem::path directory;
  Uuid store;
  DomainFacts domain;

  std::filesystem::path journal() const { return directory / "journal"; }
};
std::string pack_object_name(const Uuid& pack);  // "packs/3f/3f....pack"

struct Recovered {
  std::optional<Journal> open_pack;
  std::vector<Warning> notes;
};
// may_write: this process is the store's writer. Else only the index is written, which is then a private one.
Recovered recover(const StorePlace& place, ObjectStore& objects, ChunkIndex& index, bool may_write);

// True where the index names the packs that are there, as far as their sizes and times tell: for readers, who
// need not recover then.
bool index_matches(const StorePlace& place, ObjectStore& objects, ChunkIndex& index);

}  // namespace vmferry::store
