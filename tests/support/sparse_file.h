// Sparse files of the host: holes stay holes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "protocol/byte_range.h"
#include "protocol/bytes.h"

namespace vmferry::test {

void create_sparse_file(const std::filesystem::path& file, std::uint64_t bytes);  // replaces what was there
std::vector<ByteRange> data_ranges(const std::filesystem::path& file);            // by SEEK_DATA and SEEK_HOLE
// Writes the source's data ranges into `destination` from `offset` on; where the source has holes, nothing changes.
void copy_data_into(const std::filesystem::path& source, const std::filesystem::path& destination,
                    std::uint64_t offset);
Bytes read_range(const std::filesystem::path& file, ByteRange range);  // throws where the file ends before
void write_range(const std::filesystem::path& file, std::uint64_t offset, ByteView content);

}  // namespace vmferry::test
