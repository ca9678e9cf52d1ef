// The ways in which programs write a changed file back.
#pragma once

#include <filesystem>
#include <string>

#include "tests/support/ntfs_image.h"

namespace vmferry::bench {

// Writes the pages of 4 KiB that differ, in place, as a database does; how many.
std::uint64_t write_changed_pages(test::NtfsImage& volume, const std::filesystem::path& before,
                                  const std::filesystem::path& after, const std::string& path);
// As an installer does, or "save as": the new file is written beside the old one, then takes its name.
void replace_file(test::NtfsImage& volume, const std::string& path, ByteView content);

}  // namespace vmferry::bench
