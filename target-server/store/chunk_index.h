// ChunkIndex: chunk id -> pack, offset, length of the frame that holds it. A cache of what packs and journal say:
// rows are only ever added after the frames they name are durable, and it can be rebuilt at any time.
// What is more than a cache: which chunks were found damaged. It is lost with the file, and found again by reading.
// A row whose pack row is gone does not exist: forgetting a pack costs one row, not all of its chunks'.
// Thread-safe: one connection writes, another reads beside it. Other processes may read at the same time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "protocol/chunk_id.h"
#include "protocol/uuid.h"
#include "target-server/store/pack_format.h"

namespace vmferry::store {

// What the index knows of a pack. Equal to what the pack itself says, or the pack is indexed anew.
struct IndexedPack {
  Uuid uuid;
  bool sealed = false;
  std::uint64_t size = 0;        // sealed: of the file; open: the end of the last indexed frame
  std::int64_t modified_ns = 0;  // sealed: of the file
  std::uint64_t check = 0;       // sealed: the trailer's checksum; open: the chain of its frames
  std::uint64_t chunks = 0;      // rows that name it
  bool operator==(const IndexedPack&) const = default;
};

struct ChunkPlace {
  std::int64_t pack_order = 0;  // packs in the order in which they came
  Uuid pack;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
};

class ChunkIndex {
 public:
  enum class Mode { write, read, immutable };
  // write: creates what is not there. Error{damaged}: it is to be rebuilt (corrupt, of another store or schema).
  ChunkIndex(const std::filesystem::path& file, const Uuid& store, Mode mode);
  ~ChunkIndex();

  std::vector<IndexedPack> packs();
  // places[i]: where ids[i] lies. One read transaction.
  std::vector<std::optional<ChunkPlace>> find(std::span<const ChunkId> ids);
  // Adds rows (sorted by id) of one pack and records its facts, in one transaction. The first place of a chunk stays.
  void add(const IndexedPack& pack, std::span<const PackChunk> rows);
  void forget_pack(const Uuid& pack);

  // Chunks whose stored frame is damaged or gone: their rows are dropped, where they still name that frame, and the
  // chunks are remembered as lost until another place is added for them. That frame is no place for them any more,
  // whoever adds it.
  struct Lost {
    ChunkId id;
    Uuid pack;  // none: it has no place at all
    std::uint64_t offset = 0;
  };
  void drop_lost(std::span<const Lost> lost);
  bool any_lost() const noexcept;  // as this writer knows; no reader does
  std::vector<ChunkId> lost(std::size_t ids_max);  // sorted

  // Rows of many packs in the order of their ids: how an index is rebuilt. The packs count as indexed at the end.
  struct BulkRow {
    PackChunk chunk;
    std::uint32_t pack = 0;  // an index into `packs`
  };
  void add_many(std::vector<IndexedPack> packs, const std::function<std::optional<BulkRow>()>& next);

  struct Counts {
    std::uint64_t packs = 0, chunks = 0, bytes = 0, lost = 0;
  };
  Counts counts();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmferry::store
