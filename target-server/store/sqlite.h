// Database and Statement: the target's adapter of SQLite. One thread at a time each; errors are Error{no_space, busy,
// damaged, permission, failed}. WAL, synchronous=FULL: what COMMIT returned for is durable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "protocol/bytes.h"

struct sqlite3;
struct sqlite3_stmt;

namespace vmferry::store {

class Database {
 public:
  // immutable: on a read-only file system, where nobody can change the file (and no -wal lies beside it).
  enum class Mode { create, write, read, immutable };

  Database(const std::filesystem::path& path, Mode mode);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const char* sql);
  std::int64_t number(const char* sql);  // the first column of the first row; 0 where there is none
  std::int64_t changes() const noexcept;
  std::int64_t last_row() const noexcept;
  sqlite3* handle() const noexcept { return handle_; }
  [[noreturn]] void fail(const char* doing) const;

 private:
  std::string path_;
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
  Transaction(Database& database, Kind kind);
  ~Transaction();
  void commit();

 private:
  Database& database_;
  bool done_ = false;
};

}  // namespace vmferry::store
