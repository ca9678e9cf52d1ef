#include "bench/case/host_packages.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <set>

#include "tests/support/content.h"

namespace vmferry::bench {
namespace {

namespace fs = std::filesystem;

bool name_fits_windows(const fs::path& path) {
  return path.string().find_first_of("<>:\"|?*\\") == std::string::npos && path.filename().string().size() < 200;
}

void add_file(HostPackage& package, const fs::path& path, std::uint64_t file_bytes_max) {
  std::error_code failed;
  if (!fs::is_regular_file(fs::symlink_status(path, failed)) || failed || !name_fits_windows(path)) return;
  const std::uint64_t bytes = fs::file_size(path, failed);
  if (failed || bytes > file_bytes_max) return;
  package.files.push_back({path, bytes});
  package.bytes += bytes;
}

// fill(package) lists the files of one: only of those that are drawn.
using Candidate = std::pair<std::string, std::function<void(HostPackage&)>>;

std::vector<Candidate> candidates(std::uint64_t file_bytes_max) {
  std::vector<Candidate> found;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator("/var/lib/dpkg/info", failed)) {
    const fs::path list = entry.path();
    if (list.extension() != ".list") continue;
    found.emplace_back(list.stem().string().substr(0, list.stem().string().find(':')), [=](HostPackage& package) {
      std::ifstream lines(list);
      for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("/usr/")) add_file(package, line, file_bytes_max);
      }
    });
  }
  if (!found.empty()) return found;
  for (const char* root : {"/usr/lib", "/usr/share", "/usr/include"}) {
    for (const auto& entry : fs::directory_iterator(root, failed)) {
      if (!entry.is_directory() || entry.is_symlink()) continue;
      found.emplace_back(entry.path().filename().string(), [path = entry.path(), file_bytes_max](HostPackage& package) {
        for (const auto& inner : fs::recursive_directory_iterator(path))
          add_file(package, inner.path(), file_bytes_max);
      });
    }
  }
  return found;
}

}  // namespace

std::vector<HostPackage> choose_packages(std::uint64_t bytes, std::uint64_t file_bytes_max, std::uint64_t seed) {
  std::vector<Candidate> all = candidates(file_bytes_max);
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  test::Random random(seed);
  for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[random.below(i)]);
  std::vector<HostPackage> chosen;
  std::set<std::string> names;
  std::uint64_t total = 0;
  for (const auto& [name, fill] : all) {
    if (total >= bytes) break;
    HostPackage package{name, {}, 0};
    fill(package);
    // One huge package would crowd out the variety.
    if (package.files.empty() || package.bytes > bytes / 5 || total + package.bytes > bytes * 11 / 10) continue;
    if (!names.insert(name).second) continue;
    std::sort(package.files.begin(), package.files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
    total += package.bytes;
    chosen.push_back(std::move(package));
  }
  return chosen;
}

}  // namespace vmferry::bench
