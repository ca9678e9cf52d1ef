// The floor of a day: what zstd -3 makes of every stream that changed, with its whole former content as dictionary
// (what `zstd --patch-from` does). Nobody who sends file by file at this level can send much less; naming what is sent
// is not counted. A stream whose content was anywhere on the first day, or is twice on the second, costs nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/floor/disk_streams.h"

namespace vmferry::bench {

enum class Former { none, path, reference };  // where a changed stream's former content was found

struct FloorRow {
  std::string path;
  StreamKind kind = StreamKind::file;
  Former former = Former::none;
  std::uint64_t bytes = 0;
  std::uint64_t former_bytes = 0;
  std::uint64_t floor_bytes = 0;
};

struct FloorReport {
  std::uint64_t disk_bytes = 0;
  std::uint64_t data_bytes = 0;  // of the second day, without what is left out
  std::uint64_t copied_bytes = 0;  // changed by name only: equal to another stream
  std::uint64_t floor_bytes = 0;
  // The same where streams of at most 1 MiB are compressed 4 MiB at a time, with all their former contents as
  // dictionary: less than the floor where there are many small ones.
  std::uint64_t grouped_bytes = 0;
  double cpu_seconds = 0;
  std::vector<FloorRow> rows;  // what changed, the largest floor first
};

FloorReport compute_floor(const std::filesystem::path& day1, const std::filesystem::path& day2);

}  // namespace vmferry::bench
