#include "engine/catalog/schema.h"

#include <array>
#include <string>

#include "protocol/error.h"

namespace vmferry::catalog {
namespace {

constexpr std::int64_t catalog_magic = 0x56464331;  // "VFC1"

// Step i brings version i to i + 1. A step that was released never changes.
constexpr std::array<const char*, schema_version> steps = {
    // 1: the last points, the nodes of their trees, made-up UUIDs
    R"(
    PRAGMA application_id = 1447445297;
    CREATE TABLE last_points (
      store BLOB NOT NULL, machine BLOB NOT NULL, domain BLOB NOT NULL, point BLOB NOT NULL, body BLOB NOT NULL,
      PRIMARY KEY (store, machine));
    CREATE TABLE domains (number INTEGER PRIMARY KEY, uuid BLOB NOT NULL UNIQUE);
    CREATE TABLE nodes (
      number INTEGER PRIMARY KEY, domain INTEGER NOT NULL REFERENCES domains(number), id BLOB NOT NULL,
      body BLOB NOT NULL);
    CREATE UNIQUE INDEX nodes_by_id ON nodes (id, domain);
    CREATE TABLE made_up (kind TEXT NOT NULL, name TEXT NOT NULL, uuid BLOB NOT NULL, PRIMARY KEY (kind, name))
      WITHOUT ROWID;
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO counters VALUES ('node_bytes', 0), ('node_bytes_reached', 0);
    )",
    // 2: why each backup sent what it sent. The large column last: lists of points do not read it.
    R"(
    CREATE TABLE traffic (
      row INTEGER PRIMARY KEY, store BLOB NOT NULL, machine BLOB NOT NULL, point BLOB NOT NULL UNIQUE,
      machine_name TEXT NOT NULL, number INTEGER NOT NULL, taken_ms INTEGER NOT NULL, totals BLOB NOT NULL,
      row_bytes INTEGER NOT NULL, rows BLOB NOT NULL);
    CREATE INDEX traffic_by_machine ON traffic (store, machine, number);
    )"};
static_assert(catalog_magic == 1447445297);

}  // namespace

sqlite::Database open_database(const std::filesystem::path& file) {
  sqlite::DatabaseOptions options;
  options.cache_bytes = 16 << 20;
  options.busy_wait_ms_max = 60'000;
  options.pragmas = "PRAGMA page_size=8192; PRAGMA foreign_keys=ON; PRAGMA temp_store=FILE;";  // tree nodes are about 4 KiB
  return sqlite::Database(
      file, sqlite::Database::Mode::create,
      {"the catalog", "move it away (with its -wal and -shm); the next backup makes a new one, no backup is lost"}, options);
}

void bring_schema_up_to_date(sqlite::Database& database) {
  const auto version = [&] { return database.number("PRAGMA user_version"); };
  if (version() == schema_version && database.number("PRAGMA application_id") == catalog_magic) return;
  sqlite::Transaction transaction(database);  // another process may have been faster: look again under the lock
  const std::int64_t from = version();
  if (from > schema_version)
    throw Error(ErrorCode::version, "the catalog was written by a newer vmferry", database.path(),
                "install that version, or name another file with --catalog (backups work without the old one)");
  const bool empty = database.number("SELECT count(*) FROM sqlite_schema") == 0;
  if (from < 0 || (from == 0 && !empty) || (from > 0 && database.number("PRAGMA application_id") != catalog_magic))
    throw Error(ErrorCode::damaged, "this is no catalog of vmferry", database.path(),
                "name another file with --catalog, or move it away");
  for (auto step = static_cast<std::size_t>(from); step < steps.size(); ++step) {
    database.run(steps[step]);
    database.run(("PRAGMA user_version=" + std::to_string(step + 1)).c_str());
  }
  transaction.commit();
}

}  // namespace vmferry::catalog
