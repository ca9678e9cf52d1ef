// vmferry-store.toml: what makes a directory a store: format version, store UUID, domain UUID. Written once.
#pragma once

#include <filesystem>

#include "protocol/uuid.h"

namespace vmferry::store {

struct AboutStore {
  Uuid store, domain;
};

inline constexpr const char* about_file_name = "vmferry-store.toml";

void write_about(const std::filesystem::path& store, const AboutStore& about);
// Error{not_found}: no store there; Error{version}; Error{damaged}.
AboutStore read_about(const std::filesystem::path& store);

}  // namespace vmferry::store
