// Real content for the cases: the files of this machine's Debian packages, as dpkg lists them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vmferry::bench {

struct HostFile {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
};

struct HostPackage {
  std::string name;
  std::vector<HostFile> files;  // regular files whose names Windows allows, at most file_bytes_max each
  std::uint64_t bytes = 0;
};

// Packages drawn by the seed until they have `bytes` in all (or there are no more); the same machine and seed give the
// same. Without dpkg: the folders below /usr/lib and /usr/share, one "package" each.
std::vector<HostPackage> choose_packages(std::uint64_t bytes, std::uint64_t file_bytes_max, std::uint64_t seed);

}  // namespace vmferry::bench
