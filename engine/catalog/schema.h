// The catalog's schema, and its way from every older version to the newest. docs/format/catalog.md describes it.
#pragma once

#include <filesystem>

#include "protocol/sqlite.h"

namespace vmferry::catalog {

inline constexpr int schema_version = 2;

// The catalog's file, made where there is none; the schema comes next.
sqlite::Database open_database(const std::filesystem::path& file);
// Creates or migrates, in one transaction. Error{version} for a newer one, Error{damaged} for another program's file.
void bring_schema_up_to_date(sqlite::Database& database);

}  // namespace vmferry::catalog
