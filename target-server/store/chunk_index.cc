#include "target-server/store/chunk_index.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <string>
#include <unordered_map>

#include "protocol/error.h"
#include "protocol/sqlite.h"

namespace vmferry::store {
namespace {

constexpr std::int64_t schema_version = 1;
constexpr std::uint64_t bulk_rows_per_commit = 500'000;

constexpr const char* chunk_schema = R"(
  CREATE TABLE about(schema INTEGER NOT NULL, store BLOB NOT NULL);
  CREATE TABLE pack(id INTEGER PRIMARY KEY AUTOINCREMENT, uuid BLOB NOT NULL UNIQUE, sealed INTEGER NOT NULL,
                    size INTEGER NOT NULL, modified_ns INTEGER NOT NULL, check_value INTEGER NOT NULL,
                    chunks INTEGER NOT NULL);
  CREATE TABLE chunk(id BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL)
    WITHOUT ROWID;
)";

constexpr const char* insert_chunk = R"(
  INSERT INTO chunk(id, pack, offset, length) VALUES(?1, ?2, ?3, ?4)
  ON CONFLICT(id) DO UPDATE SET pack = excluded.pack, offset = excluded.offset, length = excluded.length
  WHERE NOT EXISTS (SELECT 1 FROM pack WHERE pack.id = chunk.pack)
)";

// Came after the first stores of this schema.
constexpr const char* lost_schema =
    "CREATE TABLE IF NOT EXISTS lost(id BLOB PRIMARY KEY, pack BLOB NOT NULL, offset INTEGER NOT NULL) WITHOUT ROWID";

constexpr const char* remember_lost = R"(
  INSERT INTO lost(id, pack, offset) SELECT ?1, ?3, ?2
  WHERE NOT EXISTS (SELECT 1 FROM chunk JOIN pack ON pack.id = chunk.pack WHERE chunk.id = ?1)
  ON CONFLICT(id) DO UPDATE SET pack = excluded.pack, offset = excluded.offset
)";

constexpr const char* upsert_pack = R"(
  INSERT INTO pack(uuid, sealed, size, modified_ns, check_value, chunks) VALUES(?1, ?2, ?3, ?4, ?5, ?6)
  ON CONFLICT(uuid) DO UPDATE SET sealed = excluded.sealed, size = excluded.size, modified_ns = excluded.modified_ns,
    check_value = excluded.check_value, chunks = chunks + excluded.chunks
)";

constexpr sqlite::DatabaseWords index_words{"the store's index", "delete this file: it is rebuilt from the packs"};

sqlite::Database::Mode database_mode(ChunkIndex::Mode mode) {
  switch (mode) {
    case ChunkIndex::Mode::write: return sqlite::Database::Mode::create;
    case ChunkIndex::Mode::read: return sqlite::Database::Mode::read;
    default: return sqlite::Database::Mode::immutable;
  }
}

Uuid uuid_of(ByteView bytes) {
  if (bytes.size() != 16) throw Error(ErrorCode::damaged, "the store's index is damaged", {}, "a UUID is cut short");
  return Uuid::from_bytes(bytes);
}

void prepare(sqlite::Database& database, const Uuid& store, ChunkIndex::Mode mode) {
  using Kind = sqlite::Transaction::Kind;
  sqlite::Transaction transaction(database, mode == ChunkIndex::Mode::write ? Kind::write : Kind::read);
  if (database.number("SELECT count(*) FROM sqlite_schema") == 0 && mode == ChunkIndex::Mode::write) {
    database.run(chunk_schema);
    sqlite::Statement about(database, "INSERT INTO about(schema, store) VALUES(?1, ?2)");
    about.bind(1, schema_version).bind(2, store.view()).run();
  } else {
    sqlite::Statement about(database, "SELECT schema, store FROM about");
    if (!about.step() || about.number(0) != schema_version || uuid_of(about.blob(1)) != store)
      throw Error(ErrorCode::damaged, "the store's index is of another store or version");
  }
  if (mode == ChunkIndex::Mode::write) database.run(lost_schema);
  transaction.commit();
}

}  // namespace

struct ChunkIndex::State {
  // Opened and prepared before the others: a new file must have its schema before statements can be prepared.
  struct Prepared : sqlite::Database {
    Prepared(const std::filesystem::path& file, const Uuid& store, ChunkIndex::Mode mode)
        : sqlite::Database(file, database_mode(mode), index_words) {
      try {
        prepare(*this, store, mode);
      } catch (const Error& error) {
        // No such table, and the like: not an index that this version can use.
        if (error.code() == ErrorCode::failed) throw Error(ErrorCode::damaged, error.what());
        throw;
      }
    }
  };

  State(const std::filesystem::path& file, const Uuid& store, Mode mode)
      : first(file, store, mode),
        second(file, database_mode(mode == Mode::immutable ? mode : Mode::read), index_words),
        find_chunk(second, "SELECT pack, offset, length FROM chunk WHERE id = ?1"),
        find_pack(second, "SELECT uuid FROM pack WHERE id = ?1") {}

  std::optional<Uuid> pack_uuid(std::int64_t id) {
    if (const auto known = pack_uuids.find(id); known != pack_uuids.end()) return known->second;
    find_pack.bind(1, id);
    std::optional<Uuid> found;
    if (find_pack.step()) found = uuid_of(find_pack.blob(0));
    find_pack.reset();
    if (found) pack_uuids.emplace(id, *found);
    return found;
  }

  void write_pack(const IndexedPack& pack) {
    sqlite::Statement statement(first, upsert_pack);
    statement.bind(1, pack.uuid.view())
        .bind(2, pack.sealed ? 1 : 0)
        .bind(3, static_cast<std::int64_t>(pack.size))
        .bind(4, pack.modified_ns)
        .bind(5, static_cast<std::int64_t>(pack.check))
        .bind(6, static_cast<std::int64_t>(pack.chunks))
        .run();
  }

  std::int64_t pack_id(const Uuid& uuid) {
    sqlite::Statement statement(first, "SELECT id FROM pack WHERE uuid = ?1");
    statement.bind(1, uuid.view());
    return statement.step() ? statement.number(0) : 0;
  }

  // True where this is a place for the chunk: it then counts as lost no more. Within a write transaction.
  bool takes_place(const ChunkId& id, const Uuid& pack, std::uint64_t offset) {
    if (lost_count == 0) return true;
    sqlite::Statement row(first, "SELECT pack, offset FROM lost WHERE id = ?1");
    row.bind(1, id.view());
    if (!row.step()) return true;
    if (uuid_of(row.blob(0)) == pack && static_cast<std::uint64_t>(row.number(1)) == offset) return false;
    row.reset();
    sqlite::Statement(first, "DELETE FROM lost WHERE id = ?1").bind(1, id.view()).run();
    return true;
  }
  // A reader may find the index as an older version left it.
  bool knows_lost() { return second.number("SELECT count(*) FROM sqlite_schema WHERE name = 'lost'") != 0; }
  void count_lost() { lost_count = static_cast<std::uint64_t>(first.number("SELECT count(*) FROM lost")); }

  std::atomic<std::uint64_t> lost_count = 0;
  std::mutex write_mutex;
  Prepared first;  // writes
  std::mutex read_mutex;
  sqlite::Database second;  // reads
  sqlite::Statement find_chunk;
  sqlite::Statement find_pack;
  std::unordered_map<std::int64_t, Uuid> pack_uuids;  // 32 bytes a pack; ids are never used again
};

ChunkIndex::ChunkIndex(const std::filesystem::path& file, const Uuid& store, Mode mode)
    : state_(std::make_unique<State>(file, store, mode)) {
  if (mode == Mode::write) state_->count_lost();
}
ChunkIndex::~ChunkIndex() = default;

std::vector<IndexedPack> ChunkIndex::packs() {
  const std::lock_guard guard(state_->read_mutex);
  std::vector<IndexedPack> all;
  sqlite::Statement rows(state_->second, "SELECT uuid, sealed, size, modified_ns, check_value, chunks FROM pack ORDER BY id");
  while (rows.step())
    all.push_back({uuid_of(rows.blob(0)), rows.number(1) != 0, static_cast<std::uint64_t>(rows.number(2)),
                   rows.number(3), static_cast<std::uint64_t>(rows.number(4)),
                   static_cast<std::uint64_t>(rows.number(5))});
  return all;
}

std::vector<std::optional<ChunkPlace>> ChunkIndex::find(std::span<const ChunkId> ids) {
  std::vector<std::optional<ChunkPlace>> places(ids.size());
  if (ids.empty()) return places;
  // In the order of the keys, neighbours share their pages.
  std::vector<std::size_t> order(ids.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return ids[a] < ids[b]; });

  const std::lock_guard guard(state_->read_mutex);
  sqlite::Transaction transaction(state_->second, sqlite::Transaction::Kind::read);
  for (const std::size_t i : order) {
    sqlite::Statement& row = state_->find_chunk.bind(1, ids[i].view());
    if (row.step()) {
      const std::int64_t pack = row.number(0);
      ChunkPlace place{pack, {}, static_cast<std::uint64_t>(row.number(1)), static_cast<std::uint32_t>(row.number(2))};
      row.reset();
      if (const std::optional<Uuid> uuid = state_->pack_uuid(pack)) {
        place.pack = *uuid;
        places[i] = place;
      }
    } else {
      row.reset();
    }
  }
  transaction.commit();
  return places;
}

void ChunkIndex::add(const IndexedPack& pack, std::span<const PackChunk> rows) {
  const std::lock_guard guard(state_->write_mutex);
  sqlite::Transaction transaction(state_->first, sqlite::Transaction::Kind::write);
  IndexedPack facts = pack;
  facts.chunks = 0;
  state_->write_pack(facts);
  const std::int64_t id = state_->pack_id(pack.uuid);
  {
    sqlite::Statement insert(state_->first, insert_chunk);
    for (const PackChunk& row : rows) {
      if (!state_->takes_place(row.id, pack.uuid, row.offset)) continue;
      insert.bind(1, row.id.view())
          .bind(2, id)
          .bind(3, static_cast<std::int64_t>(row.offset))
          .bind(4, static_cast<std::int64_t>(row.length))
          .run();
      facts.chunks += static_cast<std::uint64_t>(state_->first.changes());
    }
  }
  if (facts.chunks != 0) state_->write_pack(facts);
  transaction.commit();
  if (state_->lost_count != 0) state_->count_lost();
}

void ChunkIndex::forget_pack(const Uuid& pack) {
  const std::scoped_lock guard(state_->write_mutex, state_->read_mutex);
  sqlite::Transaction transaction(state_->first, sqlite::Transaction::Kind::write);
  sqlite::Statement(state_->first, "DELETE FROM pack WHERE uuid = ?1").bind(1, pack.view()).run();
  transaction.commit();
  state_->pack_uuids.clear();
}

void ChunkIndex::add_many(std::vector<IndexedPack> packs, const std::function<std::optional<BulkRow>()>& next) {
  const std::lock_guard guard(state_->write_mutex);
  std::vector<std::int64_t> ids;
  {
    // Size 0 until the end: were this to break off, the packs would be indexed again.
    sqlite::Transaction transaction(state_->first, sqlite::Transaction::Kind::write);
    for (IndexedPack& pack : packs) {
      pack.chunks = 0;
      IndexedPack unfinished = pack;
      unfinished.size = 0;
      state_->write_pack(unfinished);
      ids.push_back(state_->pack_id(pack.uuid));
    }
    transaction.commit();
  }
  std::optional<BulkRow> row = next();
  while (row) {
    sqlite::Transaction transaction(state_->first, sqlite::Transaction::Kind::write);
    sqlite::Statement insert(state_->first, insert_chunk);
    for (std::uint64_t count = 0; row && count < bulk_rows_per_commit; ++count, row = next()) {
      if (!state_->takes_place(row->chunk.id, packs[row->pack].uuid, row->chunk.offset)) continue;
      insert.bind(1, row->chunk.id.view())
          .bind(2, ids.at(row->pack))
          .bind(3, static_cast<std::int64_t>(row->chunk.offset))
          .bind(4, static_cast<std::int64_t>(row->chunk.length))
          .run();
      packs[row->pack].chunks += static_cast<std::uint64_t>(state_->first.changes());
    }
    transaction.commit();
  }
  sqlite::Transaction transaction(state_->first, sqlite::Transaction::Kind::write);
  for (const IndexedPack& pack : packs) state_->write_pack(pack);
  transaction.commit();
}

void ChunkIndex::drop_lost(std::span<const Lost> lost) {
  const std::lock_guard guard(state_->write_mutex);
  sqlite::Transaction transaction(state_->first, sqlite::Transaction::Kind::write);
  {
    sqlite::Statement drop(state_->first, "DELETE FROM chunk WHERE id = ?1 AND offset = ?2 AND "
                                          "pack = (SELECT id FROM pack WHERE uuid = ?3)");
    // A chunk that has come to another place meanwhile is not lost.
    sqlite::Statement remember(state_->first, remember_lost);
    for (const Lost& chunk : lost) {
      const auto offset = static_cast<std::int64_t>(chunk.offset);
      if (!chunk.pack.is_none()) drop.bind(1, chunk.id.view()).bind(2, offset).bind(3, chunk.pack.view()).run();
      remember.bind(1, chunk.id.view()).bind(2, offset).bind(3, chunk.pack.view()).run();
    }
  }
  transaction.commit();
  state_->count_lost();
}

bool ChunkIndex::any_lost() const noexcept { return state_->lost_count != 0; }

std::vector<ChunkId> ChunkIndex::lost(std::size_t ids_max) {
  const std::lock_guard guard(state_->read_mutex);
  std::vector<ChunkId> ids;
  if (!state_->knows_lost()) return ids;
  sqlite::Statement rows(state_->second, "SELECT id FROM lost ORDER BY id LIMIT ?1");
  rows.bind(1, static_cast<std::int64_t>(ids_max));
  while (rows.step()) ids.push_back(ChunkId::from_bytes(rows.blob(0)));
  return ids;
}

ChunkIndex::Counts ChunkIndex::counts() {
  const std::lock_guard guard(state_->read_mutex);
  sqlite::Statement row(state_->second, "SELECT count(*), coalesce(sum(chunks), 0), coalesce(sum(size), 0) FROM pack");
  if (!row.step()) return {};
  Counts counts{static_cast<std::uint64_t>(row.number(0)), static_cast<std::uint64_t>(row.number(1)),
                static_cast<std::uint64_t>(row.number(2)), 0};
  if (state_->knows_lost())
    counts.lost = static_cast<std::uint64_t>(state_->second.number("SELECT count(*) FROM lost"));
  return counts;
}

}  // namespace vmferry::store
