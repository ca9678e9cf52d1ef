// The catalog's schema, and its way from every older version to the newest. docs/format/catalog.md describes it.
#pragma once

#include "engine/catalog/sqlite.h"

namespace vmferry::catalog {

inline constexpr int schema_version = 1;

// Creates or migrates, a version a transaction. Error{version} for a newer one, Error{damaged} for another program's file.
void bring_schema_up_to_date(Database& database);

}  // namespace vmferry::catalog
