#include "bench/floor/disk_streams.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "tests/support/ntfs_image.h"

namespace vmferry::bench {
namespace {

constexpr std::uint64_t sector = 512;
constexpr std::uint32_t type_data = 0x80;

ByteView map_file(const std::filesystem::path& path) {
  const std::uint64_t bytes = std::filesystem::file_size(path);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw std::runtime_error("cannot open " + path.string());
  void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
  ::close(file);
  if (mapped == MAP_FAILED) throw std::runtime_error("cannot map " + path.string());
  return {static_cast<const std::byte*>(mapped), bytes};
}

template <typename T>
T number_at(ByteView disk, std::uint64_t offset) {
  T value{};
  if (!range_fits(offset, sizeof value, disk.size())) throw std::runtime_error("the partition table is cut off");
  std::memcpy(&value, disk.data() + offset, sizeof value);
  return value;
}

std::vector<ByteRange> gpt_partitions(ByteView disk) {
  const auto table = number_at<std::uint64_t>(disk, sector + 72) * sector;
  const auto count = std::min<std::uint32_t>(number_at<std::uint32_t>(disk, sector + 80), 1024);
  const auto entry_bytes = number_at<std::uint32_t>(disk, sector + 84);
  std::vector<ByteRange> found;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto first = number_at<std::uint64_t>(disk, table + i * entry_bytes + 32);
    const auto last = number_at<std::uint64_t>(disk, table + i * entry_bytes + 40);
    if (first != 0 && last >= first) found.push_back({first * sector, (last - first + 1) * sector});
  }
  return found;
}

std::vector<ByteRange> partitions(ByteView disk) {
  if (disk.size() < 64 * sector) return {};
  if (std::memcmp(disk.data() + sector, "EFI PART", 8) == 0) return gpt_partitions(disk);
  std::vector<ByteRange> found;
  for (std::uint64_t entry = 446; entry < 510; entry += 16) {
    const std::uint64_t first = number_at<std::uint32_t>(disk, entry + 8);
    const std::uint64_t count = number_at<std::uint32_t>(disk, entry + 12);
    if (first != 0 && count != 0) found.push_back({first * sector, count * sector});
  }
  return found;
}

bool is_ntfs(ByteView disk, ByteRange range) {
  return range_fits(range.offset, range.length, disk.size()) && range.length >= 64 * sector &&
         std::memcmp(disk.data() + range.offset + 3, "NTFS    ", 8) == 0;
}

// A disk without a partition table may be one volume. Its MBR would look like the boot sector's code.
std::vector<ByteRange> ntfs_volumes(ByteView disk) {
  if (is_ntfs(disk, {0, disk.size()})) return {{0, disk.size()}};
  std::vector<ByteRange> found;
  for (const ByteRange& partition : partitions(disk)) {
    if (is_ntfs(disk, partition)) found.push_back(partition);
  }
  return found;
}

bool left_out(const test::NtfsStream& stream) {
  return stream.type == type_data && stream.name.empty() &&
         (stream.path == "/pagefile.sys" || stream.path == "/swapfile.sys" || stream.path == "/hiberfil.sys");
}

DiskStream as_disk_stream(const test::NtfsStream& found, std::uint64_t volume_offset) {
  constexpr std::uint64_t first_user_record = 24;
  const bool system = found.record() < first_user_record || found.path.starts_with("/$Extend");
  DiskStream stream;
  stream.kind = system || found.directory || found.type != type_data ? StreamKind::metadata : StreamKind::file;
  stream.path = found.path + (found.name.empty() ? "" : ":" + found.name);
  if (found.type != type_data) stream.path += "#" + std::to_string(found.type);
  stream.reference = found.reference;
  stream.attribute = found.type;
  stream.attribute_name = found.name;
  for (const ByteRange& range : found.ranges) {
    stream.ranges.push_back({range.offset + volume_offset, range.length});
    stream.bytes += range.length;
  }
  return stream;
}

}  // namespace

StreamedDisk::StreamedDisk(const std::filesystem::path& raw) : disk_(map_file(raw)) {
  const std::vector<ByteRange> volumes = ntfs_volumes(disk_);
  for (const ByteRange& volume : volumes) add_volume(raw, volume);
  add_gaps({0, disk_.size()}, volumes);
}

StreamedDisk::~StreamedDisk() { ::munmap(const_cast<std::byte*>(disk_.data()), disk_.size()); }

void StreamedDisk::add_volume(const std::filesystem::path& raw, ByteRange volume) {
  const test::NtfsImage image(raw, volume, test::NtfsAccess::read_only);
  std::vector<ByteRange> claimed;
  for (const ByteRange& range : image.free_ranges()) claimed.push_back({range.offset + volume.offset, range.length});
  for (const test::NtfsStream& found : image.all_streams()) {
    DiskStream stream = as_disk_stream(found, volume.offset);
    for (const ByteRange& range : stream.ranges) {
      if (!range_fits(range.offset, range.length, disk_.size())) throw std::runtime_error("a run beyond the disk");
    }
    claimed.insert(claimed.end(), stream.ranges.begin(), stream.ranges.end());
    if (!left_out(found)) streams_.push_back(std::move(stream));
  }
  add_gaps(volume, std::move(claimed));
}

void StreamedDisk::add_gaps(ByteRange whole, std::vector<ByteRange> claimed) {
  std::sort(claimed.begin(), claimed.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  std::uint64_t at = whole.offset;
  for (const ByteRange& range : claimed) {
    if (range.offset > at) add_opaque({at, range.offset - at});
    at = std::max(at, range.end());
  }
  if (at < whole.end()) add_opaque({at, whole.end() - at});
}

void StreamedDisk::add_opaque(ByteRange range) {
  constexpr std::uint64_t piece_bytes = 64 << 20;
  // Cut at multiples, so that both days' pieces lie at the same places.
  for (std::uint64_t at = range.offset; at < range.end();) {
    const std::uint64_t end = std::min(range.end(), (at / piece_bytes + 1) * piece_bytes);
    DiskStream stream;
    stream.path = "@" + std::to_string(at);
    stream.ranges = {{at, end - at}};
    stream.bytes = end - at;
    streams_.push_back(std::move(stream));
    at = end;
  }
}

}  // namespace vmferry::bench
