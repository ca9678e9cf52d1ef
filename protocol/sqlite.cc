#include "protocol/sqlite.h"

#include <sqlite3.h>

#include "protocol/error.h"

namespace vmferry::sqlite {
namespace {

ErrorCode code_for(int result) {
  switch (result & 0xff) {
    case SQLITE_FULL: return ErrorCode::no_space;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return ErrorCode::busy;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return ErrorCode::damaged;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: return ErrorCode::permission;
    case SQLITE_CANTOPEN: return ErrorCode::not_found;
    default: return ErrorCode::failed;
  }
}

int flags_for(Database::Mode mode) {
  switch (mode) {
    case Database::Mode::create: return SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    case Database::Mode::write: return SQLITE_OPEN_READWRITE;
    default: return SQLITE_OPEN_READONLY;
  }
}

std::string uri_of(const std::filesystem::path& path, Database::Mode mode) {
  std::string uri = "file:";
  for (const char c : path.string()) {
    if (c == '?' || c == '#' || c == '%') {
      static constexpr char digits[] = "0123456789abcdef";
      uri += '%';
      uri += digits[static_cast<unsigned char>(c) >> 4];
      uri += digits[static_cast<unsigned char>(c) & 15];
    } else {
      uri += c;
    }
  }
  return mode == Database::Mode::immutable ? uri + "?immutable=1" : uri;
}

}  // namespace

Database::Database(const std::filesystem::path& path, Mode mode, const DatabaseWords& words,
                   const DatabaseOptions& options)
    : path_(path.string()), words_(words) {
  const int result = sqlite3_open_v2(uri_of(std::filesystem::absolute(path), mode).c_str(), &handle_,
                                     flags_for(mode) | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, nullptr);
  try {
    if (result != SQLITE_OK) fail("open");
    sqlite3_extended_result_codes(handle_, 1);
    sqlite3_busy_timeout(handle_, options.busy_wait_ms_max);
    run(options.pragmas);
    if (mode == Mode::create || mode == Mode::write)
      run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=8192;");
    run(("PRAGMA trusted_schema=OFF; PRAGMA cache_size=-" + std::to_string(options.cache_bytes / 1024) + ";").c_str());
  } catch (...) {
    sqlite3_close_v2(handle_);
    throw;
  }
}

Database::~Database() { sqlite3_close_v2(handle_); }

void Database::run(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail("use");
}

std::int64_t Database::number(const char* sql) {
  Statement statement(*this, sql);
  return statement.step() ? statement.number(0) : 0;
}

std::int64_t Database::changes() const noexcept { return sqlite3_changes(handle_); }
std::int64_t Database::last_row() const noexcept { return sqlite3_last_insert_rowid(handle_); }

void Database::fail(const char* doing) const {
  const int result = handle_ == nullptr ? SQLITE_NOMEM : sqlite3_extended_errcode(handle_);
  std::string cause = handle_ == nullptr ? "out of memory" : sqlite3_errmsg(handle_);
  const ErrorCode code = code_for(result);
  if (code == ErrorCode::damaged) cause += std::string("; ") + words_.advice_if_damaged;
  if (code == ErrorCode::busy) cause += ": another vmferry uses it, try again";
  throw Error(code, std::string("cannot ") + doing + " " + words_.name, path_, cause);
}

Statement::Statement(Database& database, const char* sql) : database_(database) {
  if (sqlite3_prepare_v3(database.handle(), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr) != SQLITE_OK)
    database.fail("use");
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int index, std::int64_t value) {
  if (sqlite3_bind_int64(statement_, index, value) != SQLITE_OK) database_.fail("use");
  return *this;
}

Statement& Statement::bind(int index, ByteView value) {
  if (sqlite3_bind_blob64(statement_, index, value.empty() ? static_cast<const void*>("") : value.data(), value.size(),
                          SQLITE_STATIC) != SQLITE_OK)  // a null pointer would bind NULL
    database_.fail("use");
  return *this;
}

Statement& Statement::bind_text(int index, std::string_view value) {
  if (sqlite3_bind_text64(statement_, index, value.empty() ? "" : value.data(), value.size(), SQLITE_STATIC,
                          SQLITE_UTF8) != SQLITE_OK)
    database_.fail("use");
  return *this;
}

bool Statement::step() {
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result != SQLITE_DONE) {
    try {
      database_.fail("use");
    } catch (...) {
      reset();
      throw;
    }
  }
  return false;
}

void Statement::reset() noexcept {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Statement::run() {
  while (step()) {
  }
  reset();
}

std::int64_t Statement::number(int column) const { return sqlite3_column_int64(statement_, column); }

ByteView Statement::blob(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
  return {data, data == nullptr ? 0 : static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

Transaction::Transaction(Database& database, Kind kind) : database_(database) {
  database_.run(kind == Kind::write ? "BEGIN IMMEDIATE" : "BEGIN");
}

Transaction::~Transaction() {
  if (!done_) sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.run("COMMIT");
  done_ = true;
}

}  // namespace vmferry::sqlite
