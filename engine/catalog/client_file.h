// client.uuid: this controller's identity, in a file beside the catalog (mode 0600), so that it outlives the catalog.
#pragma once

#include <filesystem>

#include "protocol/uuid.h"

namespace vmferry::catalog {

// Reads it; makes it where there is none: of two processes that do so at once both get the same. Error{damaged} where it
// holds something else.
Uuid client_uuid_in(const std::filesystem::path& directory);
std::string host_name();

}  // namespace vmferry::catalog
