// compare-disks ORIGINAL.raw RESTORED.raw [VOLUME_OFFSET VOLUME_BYTES]...: says what differs, by kind, and fails if anything
// differs that a default backup does not leave out. libntfs-3g says what is free and where the pagefile lies.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "tests/support/ntfs_image.h"
#include "tests/support/sparse_file.h"

namespace {

using namespace vmferry;
using namespace vmferry::test;

struct LeftOut {
  std::vector<ByteRange> free;
  std::vector<ByteRange> excluded;
};

void add_left_out(const std::filesystem::path& disk, ByteRange volume, LeftOut& result) {
  const NtfsImage image(disk, volume, NtfsAccess::read_only);
  const auto add = [&](std::vector<ByteRange>& to, const std::vector<ByteRange>& ranges) {
    for (const ByteRange& range : ranges) to.push_back({range.offset + volume.offset, range.length});
  };
  add(result.free, image.free_ranges());
  for (const char* path : {"/pagefile.sys", "/swapfile.sys", "/hiberfil.sys"})
    if (image.exists(path)) add(result.excluded, image.ranges(path));
}

LeftOut left_out(const std::filesystem::path& disk, const std::vector<ByteRange>& volumes) {
  LeftOut result;
  for (const ByteRange& volume : volumes) add_left_out(disk, volume, result);
  for (auto* ranges : {&result.free, &result.excluded})
    std::sort(ranges->begin(), ranges->end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  return result;
}

bool holds(const std::vector<ByteRange>& ranges, std::uint64_t offset) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), offset,
                                      [](std::uint64_t at, const ByteRange& r) { return at < r.offset; });
  return after != ranges.begin() && offset < std::prev(after)->end();
}

int compare(const std::filesystem::path& original, const std::filesystem::path& restored,
            const std::vector<ByteRange>& volumes) {
  constexpr std::uint64_t piece_bytes = 1 << 20;
  constexpr std::uint64_t sector = 512;
  const std::uint64_t bytes = std::filesystem::file_size(original);
  if (std::filesystem::file_size(restored) != bytes) throw std::runtime_error("the disks differ in size");
  const LeftOut skipped = left_out(original, volumes);
  std::uint64_t in_free = 0;
  std::uint64_t in_excluded = 0;
  std::uint64_t wrong = 0;
  for (std::uint64_t at = 0; at < bytes; at += piece_bytes) {
    const ByteRange piece{at, std::min(piece_bytes, bytes - at)};
    const Bytes a = read_range(original, piece);
    const Bytes b = read_range(restored, piece);
    if (a == b) continue;
    for (std::uint64_t i = 0; i < piece.length; i += sector) {
      const std::size_t length = std::min(sector, piece.length - i);
      if (std::memcmp(a.data() + i, b.data() + i, length) == 0) continue;
      if (holds(skipped.free, at + i)) {
        in_free += length;
      } else if (holds(skipped.excluded, at + i)) {
        in_excluded += length;
      } else {
        if (wrong == 0) std::printf("first wrong byte range: %llu\n", static_cast<unsigned long long>(at + i));
        wrong += length;
      }
    }
  }
  std::printf("{\"free_bytes\": %llu, \"excluded_bytes\": %llu, \"wrong_bytes\": %llu}\n",
              static_cast<unsigned long long>(in_free), static_cast<unsigned long long>(in_excluded),
              static_cast<unsigned long long>(wrong));
  return wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
  try {
    if (count < 3 || count % 2 == 0)
      throw std::runtime_error("usage: compare-disks ORIGINAL.raw RESTORED.raw [VOLUME_OFFSET VOLUME_BYTES]...");
    std::vector<ByteRange> volumes;
    for (int i = 3; i < count; i += 2) volumes.push_back({std::stoull(words[i]), std::stoull(words[i + 1])});
    return compare(words[1], words[2], volumes);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "compare-disks: %s\n", error.what());
    return 2;
  }
}
