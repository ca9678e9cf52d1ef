// What `vmferry bench` found, as text for a person and as JSON. Pure: values in, text out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "engine/measure/link.h"
#include "engine/measure/nights.h"

namespace vmferry::cli {

struct BenchResult {
  std::vector<measure::Night> nights;
  std::vector<measure::Link> links;
  int compression_level = 3;
  std::uint32_t block_bytes = 0;
};

std::string_view way_title(const measure::Way& way);  // "rsync", "compressed chunks"
// "24 s"; "?" where nothing was computed.
std::string way_time(const measure::Way& way, const measure::Link& link);
std::string share_of_disk(std::uint64_t bytes, std::uint64_t disk_bytes);  // "0.46 %"

// "Night 2 sends 28.6 MiB: 1/19 of rsync, 1/4 of compressed chunks; over 10mbit,80ms in 24 s"
std::string night_sentence(const BenchResult& result, std::size_t night);
std::string night_title(const BenchResult& result, std::size_t night);  // "Night 2: day2.vmdk, 6.0 GiB"
// Where times and numbers come from, for a person who doubts them.
std::string what_is_counted(const BenchResult& result);

std::string bench_text(const BenchResult& result);
nlohmann::json bench_json(const BenchResult& result);

}  // namespace vmferry::cli
