#include "bench/case/write_back.h"

#include <fstream>

namespace vmferry::bench {

std::uint64_t write_changed_pages(test::NtfsImage& volume, const std::filesystem::path& before,
                                  const std::filesystem::path& after, const std::string& path) {
  constexpr std::size_t page = 4096;
  std::ifstream old_file(before, std::ios::binary);
  std::ifstream new_file(after, std::ios::binary);
  Bytes old_page(page);
  Bytes new_page(page);
  std::uint64_t written = 0;
  for (std::uint64_t at = 0; new_file.read(reinterpret_cast<char*>(new_page.data()), page); at += page) {
    const bool was_there = static_cast<bool>(old_file.read(reinterpret_cast<char*>(old_page.data()), page));
    if (was_there && old_page == new_page) continue;
    volume.overwrite(path, at, new_page);
    ++written;
  }
  return written;
}

void replace_file(test::NtfsImage& volume, const std::string& path, ByteView content) {
  volume.write_file(path + ".new", content);
  volume.remove(path);
  volume.rename(path + ".new", path);
}

}  // namespace vmferry::bench
