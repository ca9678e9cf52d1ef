#include "bench/case/database.h"

#include <sqlite3.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "tests/support/content.h"

namespace vmferry::bench {
namespace {

class Database {
 public:
  explicit Database(const std::filesystem::path& file) {
    sqlite3* opened = nullptr;
    const int failure = sqlite3_open(file.c_str(), &opened);
    handle_.reset(opened);
    if (failure != SQLITE_OK) throw std::runtime_error("cannot open the database " + file.string());
    run("PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536;");
  }
  void run(const std::string& sql) {
    if (sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) fail();
  }
  std::uint64_t number(const char* sql) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(handle_.get(), sql, -1, &raw, nullptr) != SQLITE_OK) fail();
    const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(raw, sqlite3_finalize);
    if (sqlite3_step(raw) != SQLITE_ROW) fail();
    return static_cast<std::uint64_t>(sqlite3_column_int64(raw, 0));
  }
  [[noreturn]] void fail() { throw std::runtime_error(std::string("SQLite: ") + sqlite3_errmsg(handle_.get())); }
  sqlite3* get() { return handle_.get(); }

 private:
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> handle_{nullptr, sqlite3_close};
};

void insert_rows(Database& database, std::uint64_t count, std::uint64_t first, test::Random& random) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database.get(), "INSERT INTO orders(customer, token, amount, state, note) VALUES(?,?,?,?,?)",
                         -1, &raw, nullptr) != SQLITE_OK) {
    database.fail();
  }
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(raw, sqlite3_finalize);
  const Bytes words = test::text_bytes(random.next(), 1 << 18);
  for (std::uint64_t row = 0; row < count; ++row) {
    const Bytes token = test::random_bytes(random.next(), 16);
    const std::string note(as_text(words).substr(random.below(words.size() - 300), 40 + random.below(240)));
    const std::string customer = "customer-" + std::to_string(random.below(1 + (first + count) / 20));
    sqlite3_bind_text(raw, 1, customer.c_str(), -1, SQLITE_TRANSIENT);
    sqlite3_bind_blob(raw, 2, token.data(), static_cast<int>(token.size()), SQLITE_TRANSIENT);
    sqlite3_bind_int64(raw, 3, static_cast<sqlite3_int64>(random.below(1'000'000)));
    sqlite3_bind_text(raw, 4, "open", -1, SQLITE_STATIC);
    sqlite3_bind_text(raw, 5, note.c_str(), -1, SQLITE_TRANSIENT);
    if (sqlite3_step(raw) != SQLITE_DONE) database.fail();
    sqlite3_reset(raw);
  }
}

}  // namespace

void create_database(const std::filesystem::path& file, std::uint64_t bytes, std::uint64_t seed) {
  std::filesystem::remove(file);
  Database database(file);
  test::Random random(seed);
  database.run(
      "PRAGMA page_size=4096; CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT, token BLOB, amount INTEGER, "
      "state TEXT, note TEXT); BEGIN;");
  constexpr std::uint64_t row_bytes = 300;  // with its index entries, measured
  insert_rows(database, bytes / row_bytes, 0, random);
  database.run("CREATE INDEX by_customer ON orders(customer); CREATE INDEX by_token ON orders(token); COMMIT;");
}

void work_on_database(const std::filesystem::path& file, std::uint64_t seed) {
  Database database(file);
  test::Random random(seed);
  const std::uint64_t rows = database.number("SELECT max(id) FROM orders");
  database.run("BEGIN");
  for (std::uint64_t i = 0; i < rows * 3 / 1000; ++i) {
    const std::uint64_t id = i % 2 == 0 ? 1 + random.below(rows) : rows - random.below(1 + rows / 20);
    database.run("UPDATE orders SET state='paid', amount=amount+1 WHERE id=" + std::to_string(id));
  }
  for (std::uint64_t i = 0; i < rows / 2000; ++i) {
    database.run("DELETE FROM orders WHERE id=" + std::to_string(1 + random.below(rows)));
  }
  insert_rows(database, rows / 200, rows, random);
  database.run("COMMIT");
}

std::uint64_t update_scattered_rows(const std::filesystem::path& file, double share, std::uint64_t seed) {
  Database database(file);
  test::Random random(seed);
  const std::uint64_t rows = database.number("SELECT max(id) FROM orders");
  const auto count = static_cast<std::uint64_t>(static_cast<double>(rows) * share);
  database.run("BEGIN");
  for (std::uint64_t i = 0; i < count; ++i) {
    database.run("UPDATE orders SET state='paid', amount=amount+1 WHERE id=" + std::to_string(1 + random.below(rows)));
  }
  database.run("COMMIT");
  return count;
}

}  // namespace vmferry::bench
