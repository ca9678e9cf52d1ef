// sqlite: Database, Statement and Transaction of a SQLite file: the catalog and the store's index stand on them. One thread
// at a time each. Errors are Error{no_space, busy, damaged, permission, not_found, failed} with the owner's words.
// WAL, synchronous=FULL: what COMMIT returned for is durable; locks of other processes are waited for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/bytes.h"

struct sqlite3;
struct sqlite3_stmt;

namespace vmferry::sqlite {

// What a person calls this file, and how its loss is mended.
struct DatabaseWords {
  const char* name;               // "the catalog"
  const char* advice_if_damaged;  // "delete it: it is rebuilt from the packs"
};
struct DatabaseOptions {
  std::int64_t cache_bytes = 64 << 20;
  int busy_wait_ms_max = 10'000;
  // Run before anything else: settings of a new file, such as its page size.
  const char* pragmas = "";
};

class Database {
 public:
  // immutable: on a read-only file system, where nobody can change the file (and no -wal lies beside it).
  enum class Mode { create, write, read, immutable };

  Database(const std::filesystem::path& path, Mode mode, const DatabaseWords& words,
           const DatabaseOptions& options = {});
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const char* sql);             // one or more statements without rows
  std::int64_t number(const char* sql);  // the first column of the first row; 0 where there is none
  std::int64_t changes() const noexcept;
  std::int64_t last_row() const noexcept;
  sqlite3* handle() const noexcept { return handle_; }
  const std::string& path() const noexcept { return path_; }
  [[noreturn]] void fail(const char* doing) const;  // doing: "use"

 private:
  std::string path_;
  DatabaseWords words_;
  sqlite3* handle_ = nullptr;
};

// A prepared statement: bind(1..), step() until false, reset().
class Statement {
 public:
  Statement(Database& database, const char* sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, ByteView value);  // the bytes must live until reset()
  Statement& bind_text(int index, std::string_view value);  // likewise
  bool step();                                 // true: a row is there
  void reset() noexcept;
  void run();                                  // step() to the end, then reset()

  std::int64_t number(int column) const;
  ByteView blob(int column) const;  // valid until the next step() or reset()

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
};

// Rolls back unless commit() was called.
class Transaction {
 public:
  enum class Kind { read, write };
  explicit Transaction(Database& database, Kind kind = Kind::write);
  ~Transaction();
  void commit();

 private:
  Database& database_;
  bool done_ = false;
};

}  // namespace vmferry::sqlite
