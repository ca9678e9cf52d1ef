// Real SQLite databases: filled, and then changed as a day of work does, by SQLite itself.
#pragma once

#include <cstdint>
#include <filesystem>

namespace vmferry::bench {

// A table of orders with two indexes, one of them on random keys, of about `bytes`.
void create_database(const std::filesystem::path& file, std::uint64_t bytes, std::uint64_t seed);
// Updates 0.3 % of the rows (half of them among the newest), adds 0.5 %, deletes 0.05 %; no vacuum.
void work_on_database(const std::filesystem::path& file, std::uint64_t seed);
// Updates this share of the rows, anywhere in the table, and nothing else; how many.
std::uint64_t update_scattered_rows(const std::filesystem::path& file, double share, std::uint64_t seed);

}  // namespace vmferry::bench
