// Database and Statement: the engine's adapter of SQLite. One thread at a time. Errors are Error{damaged, busy, no_space,
// permission, failed}, with the sentence that says what to do. WAL, synchronous=FULL: what a COMMIT returned for is
// durable; busy locks are waited for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "protocol/bytes.h"

struct sqlite3;
struct sqlite3_stmt;

namespace vmferry::catalog {

class Database {
 public:
  explicit Database(const std::filesystem::path& file);  // creates it
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const char* sql);            // one or more statements without rows
  std::int64_t number(const char* sql);  // the first column of the first row; 0 where there is none
  const std::string& path() const noexcept { return path_; }

 private:
  friend class Statement;
  [[noreturn]] void fail(int code, const char* doing) const;

  std::string path_;
  sqlite3* handle_ = nullptr;
};

// A prepared statement: bind from 1 on, step() until false, then reset() (run() does both). Bound bytes must live until
// the reset.
class Statement {
 public:
  Statement(Database& database, const char* sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, ByteView blob);
  Statement& bind_text(int index, std::string_view text);
  bool step();  // true: there is a row
  void reset() noexcept;
  void run();

  std::int64_t number(int column) const;
  ByteView blob(int column) const;  // until the next step() or reset()

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
};

// BEGIN IMMEDIATE now; ROLLBACK when it dies, unless committed.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace vmferry::catalog
