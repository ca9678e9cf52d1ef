#include "engine/catalog/signature_store.h"

#include "protocol/error.h"
#include "protocol/sqlite.h"

namespace vmferry::catalog {
namespace {

constexpr std::size_t pending_bytes_max = 2u << 20;
constexpr std::size_t found_bytes_max = 32u << 20;  // of one call: no file makes it hold more
constexpr std::size_t key_bytes = 16;  // of an id: keyed BLAKE3, nobody can choose it
constexpr const char* schema = R"(
  PRAGMA application_id = 1447449427;
  CREATE TABLE signatures (number INTEGER PRIMARY KEY, id BLOB NOT NULL, body BLOB NOT NULL);
  CREATE UNIQUE INDEX signatures_by_id ON signatures (id);
  CREATE TABLE signed_points (store BLOB, machine BLOB, point BLOB NOT NULL, PRIMARY KEY (store, machine)) WITHOUT ROWID;
  CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  INSERT INTO counters VALUES ('signatures', 0), ('bytes', 0);
  PRAGMA user_version = 1;
)";
constexpr std::int64_t signatures_magic = 0x56465353;  // "VFSS"
static_assert(signatures_magic == 1447449427);  // as the schema has it

ByteView key_of(const ChunkId& id) { return id.view().first(key_bytes); }

void remove_files(const std::filesystem::path& file) {
  std::error_code ignored;  // what stays is found damaged again
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(file.string() + suffix, ignored);
}

}  // namespace

struct SignatureStore::Open {
  explicit Open(const std::filesystem::path& file)
      : database(with_schema(file)),
        find(database.get(), "SELECT body FROM signatures WHERE id = ? AND length(body) <= 1048576"),
        insert(database.get(), "INSERT OR IGNORE INTO signatures (id, body) VALUES (?, ?)"),
        count(database.get(), "UPDATE counters SET value = value + ? WHERE name = ?") {}

  static std::unique_ptr<sqlite::Database> opened(const std::filesystem::path& file) {
    sqlite::DatabaseOptions options;
    options.cache_bytes = 16 << 20;
    options.busy_wait_ms_max = 60'000;
    options.pragmas = "PRAGMA page_size=32768; PRAGMA temp_store=FILE;";
    return std::make_unique<sqlite::Database>(file, sqlite::Database::Mode::create,
                                              sqlite::DatabaseWords{"the signature file", "it is made anew"}, options);
  }

  struct Holder {
    std::unique_ptr<sqlite::Database> database;
    sqlite::Database& get() { return *database; }
  };

  static Holder with_schema(const std::filesystem::path& file) {
    Holder holder{opened(file)};
    sqlite::Database& database = holder.get();
    database.run("PRAGMA synchronous=NORMAL");  // the newest signatures may be lost with the power
    const auto ours = [&] {
      return database.number("PRAGMA user_version") == 1 &&
             database.number("PRAGMA application_id") == signatures_magic;
    };
    if (ours()) return holder;
    sqlite::Transaction transaction(database);
    if (ours()) return holder;
    if (database.number("SELECT count(*) FROM sqlite_schema") != 0) {
      const bool of_another_version = database.number("PRAGMA application_id") == signatures_magic;
      throw Error(of_another_version ? ErrorCode::damaged : ErrorCode::refused, "this is no signature file of this version",
                  database.path());
    }
    database.run(schema);
    transaction.commit();
    return holder;
  }

  std::int64_t counter(const char* name) {
    sqlite::Statement select(database.get(), "SELECT value FROM counters WHERE name = ?");
    select.bind_text(1, name);
    return select.step() ? select.number(0) : 0;
  }
  bool over(std::uint64_t budget_bytes) { return static_cast<std::uint64_t>(counter("bytes")) > budget_bytes; }
  void count_by(const char* name, std::int64_t by) { count.bind(1, by).bind_text(2, name).run(); }

  Holder database;
  sqlite::Statement find, insert, count;
};

std::filesystem::path SignatureStore::file_beside(const std::filesystem::path& catalog) {
  std::filesystem::path file = std::filesystem::path(catalog).replace_extension(".signatures");
  return file == catalog ? std::filesystem::path(catalog.string() + ".signatures") : file;
}

SignatureStore::SignatureStore(std::filesystem::path file, std::uint64_t budget_bytes)
    : file_(std::move(file)), budget_bytes_(budget_bytes) {
  try {
    try {
      open_ = std::make_unique<Open>(file_);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::damaged) throw;
      problem_ = error.what();
      remove_files(file_);
      open_ = std::make_unique<Open>(file_);
    }
  } catch (const Error& error) {
    give_up(error.what(), false);
  }
}

SignatureStore::~SignatureStore() {
  const std::lock_guard lock(mutex_);
  write_pending();
}

void SignatureStore::give_up(const std::string& why, bool damaged) {
  problem_ = why;
  open_.reset();
  pending_.clear();
  pending_bytes_ = 0;
  if (damaged) remove_files(file_);
}

template <typename Do>
void SignatureStore::guarded(Do&& act) {
  if (!open_) return;
  try {
    act(*open_);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::busy) return;  // another process writes: this once, without
    give_up(error.what(), error.code() == ErrorCode::damaged);
  }
}

void SignatureStore::write_pending() {
  if (pending_.empty()) return;
  bool written = false;
  guarded([&](Open& open) {
    std::int64_t signatures = 0, bytes = 0;
    sqlite::Transaction transaction(open.database.get());
    for (const auto& [id, signature] : pending_) {
      open.insert.bind(1, key_of(id)).bind(2, signature).run();
      if (open.database.get().changes() == 0) continue;
      ++signatures;
      bytes += static_cast<std::int64_t>(signature.size());
    }
    open.count_by("signatures", signatures);
    open.count_by("bytes", bytes);
    transaction.commit();
    written = true;
  });
  lost_some_ = lost_some_ || !written;
  pending_.clear();
  pending_bytes_ = 0;
}

void SignatureStore::add(std::vector<std::pair<ChunkId, Bytes>> signatures) {
  const std::lock_guard lock(mutex_);
  if (!open_) return;
  for (auto& entry : signatures) {
    pending_bytes_ += entry.second.size();
    pending_.push_back(std::move(entry));
  }
  if (pending_bytes_ >= pending_bytes_max) write_pending();
}

std::vector<Bytes> SignatureStore::find(std::span<const ChunkId> ids) {
  std::vector<Bytes> found(ids.size());
  const std::lock_guard lock(mutex_);
  guarded([&](Open& open) {
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < ids.size() && bytes < found_bytes_max; ++i) {
      open.find.bind(1, key_of(ids[i]));
      if (open.find.step()) {
        const ByteView body = open.find.blob(0);
        found[i].assign(body.begin(), body.end());
        bytes += body.size();
      }
      open.find.reset();
    }
  });
  return found;
}

bool SignatureStore::contains(const ChunkId& id) {
  bool there = false;
  const std::lock_guard lock(mutex_);
  guarded([&](Open& open) {
    open.find.bind(1, key_of(id));
    there = open.find.step();
    open.find.reset();
  });
  return there;
}

std::optional<Uuid> SignatureStore::signed_up_to(const Uuid& store, const Uuid& machine) {
  std::optional<Uuid> point;
  const std::lock_guard lock(mutex_);
  guarded([&](Open& open) {
    sqlite::Statement select(open.database.get(), "SELECT point FROM signed_points WHERE store = ? AND machine = ?");
    select.bind(1, store.view()).bind(2, machine.view());
    if (select.step()) point = Uuid::from_bytes(select.blob(0));
  });
  return point;
}

void SignatureStore::set_signed_up_to(const Uuid& store, const Uuid& machine, const Uuid& point) {
  const std::lock_guard lock(mutex_);
  write_pending();
  if (lost_some_) return;
  guarded([&](Open& open) {
    sqlite::Statement insert(open.database.get(), "INSERT OR REPLACE INTO signed_points (store, machine, point) VALUES (?, ?, ?)");
    insert.bind(1, store.view()).bind(2, machine.view()).bind(3, point.view()).run();
  });
}

bool SignatureStore::over_budget() {
  bool over = false;
  const std::lock_guard lock(mutex_);
  write_pending();
  guarded([&](Open& open) { over = open.over(budget_bytes_); });
  return over;
}

void SignatureStore::trim(const std::function<void(const Name&)>& named) {
  if (!over_budget()) return;
  {  // the table is this connection's own: no other process waits while the caller walks its trees
    const std::lock_guard lock(mutex_);
    guarded([&](Open& open) {
      open.database.get().run("CREATE TEMP TABLE IF NOT EXISTS named (id BLOB PRIMARY KEY) WITHOUT ROWID; DELETE FROM temp.named;");
    });
  }
  std::vector<ChunkId> some;
  const auto write = [&] {
    const std::lock_guard lock(mutex_);
    guarded([&](Open& open) {
      sqlite::Statement insert(open.database.get(), "INSERT OR IGNORE INTO temp.named VALUES (?)");
      for (const ChunkId& id : some) insert.bind(1, key_of(id)).run();
    });
    some.clear();
  };
  named([&](const ChunkId& id) {
    some.push_back(id);
    if (some.size() == 4096) write();
  });
  write();

  const std::lock_guard lock(mutex_);
  guarded([&](Open& open) {
    sqlite::Database& database = open.database.get();
    sqlite::Transaction transaction(database);
    if (!open.over(budget_bytes_)) return;  // another process was faster
    // Down to nine tenths, so that not every backup trims.
    std::int64_t excess = open.counter("bytes") - static_cast<std::int64_t>(budget_bytes_ / 10 * 9);
    std::int64_t dropped = 0, dropped_bytes = 0;
    for (const char* which : {"SELECT number, length(body) FROM signatures WHERE id NOT IN (SELECT id FROM temp.named) "
                              "ORDER BY number LIMIT 10000",
                              "SELECT number, length(body) FROM signatures ORDER BY number LIMIT 10000"}) {
      while (excess > 0) {
        std::vector<std::int64_t> numbers;
        sqlite::Statement oldest(database, which);
        while (excess > 0 && oldest.step()) {
          numbers.push_back(oldest.number(0));
          excess -= oldest.number(1);
          dropped_bytes += oldest.number(1);
        }
        oldest.reset();
        if (numbers.empty()) break;
        sqlite::Statement remove(database, "DELETE FROM signatures WHERE number = ?");
        for (const std::int64_t number : numbers) remove.bind(1, number).run();
        dropped += static_cast<std::int64_t>(numbers.size());
      }
    }
    open.count_by("signatures", -dropped);
    open.count_by("bytes", -dropped_bytes);
    database.run("DELETE FROM temp.named");
    transaction.commit();
  });
}

SignatureStore::Size SignatureStore::size() {
  Size size;
  const std::lock_guard lock(mutex_);
  write_pending();
  guarded([&](Open& open) {
    size.signatures = static_cast<std::uint64_t>(open.counter("signatures"));
    size.bytes = static_cast<std::uint64_t>(open.counter("bytes"));
  });
  return size;
}

std::string SignatureStore::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

}  // namespace vmferry::catalog
