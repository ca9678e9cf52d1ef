// A machine as the cases have it: real packages, databases, logs, mails, pictures, small files, pagefile, dirty free
// space.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/case/host_packages.h"
#include "tests/support/ntfs_image.h"

namespace vmferry::bench {

struct MachinePlan {
  std::uint64_t seed = 1;             // of what is this machine's own: data, order on the disk, fragmentation
  std::uint64_t disk_bytes = 0;       // all shares below are of this
  std::vector<HostPackage> packages;  // what is installed
  std::filesystem::path databases;    // the host's folder where SQLite keeps its files between the days
  double databases_share = 0.06;
  double pictures_share = 0.03;
  double logs_share = 0.025;
  double mails_share = 0.025;
  double documents_share = 0.015;
  double pagefile_share = 0.04;
  double dirty_share = 0.03;
  unsigned fragmented_percent = 4;  // of the packages' larger files
};

std::uint64_t share_of(const MachinePlan& plan, double share);

// Installs everything into an empty volume.
void install_machine(test::NtfsImage& volume, const MachinePlan& plan);
// A day of work: databases updated in place, logs appended, packages replaced by changed versions, documents edited,
// new mails and pictures, renames, deletions, half of the pagefile and of the dirty space rewritten. `day` counts
// from 2.
void work_a_day(test::NtfsImage& volume, const MachinePlan& plan, unsigned day);

// Where a package's file lies in the volume.
std::string installed_path(const HostPackage& package, const HostFile& file);
std::string read_host_file(const std::filesystem::path& path);
inline constexpr std::size_t database_count = 3;
std::filesystem::path host_database(const MachinePlan& plan, std::size_t index);
std::string volume_database(std::size_t index);
std::uint64_t database_bytes(const MachinePlan& plan, std::size_t index);
std::size_t log_count();
std::string log_path(std::size_t index);

}  // namespace vmferry::bench
