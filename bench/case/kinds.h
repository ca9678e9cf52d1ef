// Cases by kind of change: one base disk, and for each kind a copy of it in which only that happened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bench/case/host_packages.h"
#include "tests/support/ntfs_image.h"

namespace vmferry::bench {

struct KindsPlan {
  std::uint64_t disk_bytes = 0;
  std::filesystem::path work;  // the host's folder with what the base's files were made of
  std::vector<HostPackage> packages;
  unsigned archive_files = 10'000;
  unsigned documents = 120;
  unsigned logs = 8;
};

// What is where in the base.
inline constexpr const char* kinds_database = "/ProgramData/Shop/orders.sqlite";
inline constexpr const char* kinds_mailbox = "/Users/ann/Mail/inbox.mbox";
inline constexpr const char* kinds_archive = "/Data/Archive 2025";
std::filesystem::path host_database(const KindsPlan& plan);
std::filesystem::path host_jars(const KindsPlan& plan);
std::string kinds_log(unsigned index);
std::string kinds_document(unsigned index);
std::string kinds_package_file(const HostPackage& package, const HostFile& file);
std::uint64_t kinds_share(const KindsPlan& plan, double share);

void install_kinds_base(test::NtfsImage& volume, const KindsPlan& plan);
// Fills the base up, for the nearly full disk.
void fill_up(test::NtfsImage& volume, double share);

// What a change did, in numbers, for the JSON beside the disk.
using ChangeFacts = std::map<std::string, std::uint64_t>;

struct ChangeKind {
  std::string name;
  std::string what;
  std::function<ChangeFacts(test::NtfsImage&, const KindsPlan&)> change;
  bool other_machine = false;           // backed up under another name, after the base
  bool from_full = false;               // its base is the filled disk
  std::string floor_of = {};            // the kind whose floor counts, where this one's disk cannot be read
  std::uint64_t sent_bytes_most = 0;    // a bar of its own; 0: by the floor
  bool mft_corrupted = false;           // the caller breaks $MFT's first record after the volume is closed
};

const std::vector<ChangeKind>& change_kinds();

}  // namespace vmferry::bench
