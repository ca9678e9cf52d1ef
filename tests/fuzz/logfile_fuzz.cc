// link: crack
// $LogFile: any bytes are clean, readable or not readable, and no cluster outside the volume is named. Fixups would
// stop nearly every mutation, so they are put right first; the restart pages are made plausible half of the time.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "engine/crack/ntfs/log_file.h"

namespace {

constexpr std::size_t page = 4096, pages = 4 + 48;

void put_fixups(std::byte* at) {
  std::uint16_t offset;
  std::memcpy(&offset, at + 4, 2);
  if (offset > 0x100) return;
  const std::uint16_t count = page / 512 + 1, mark = 1;
  std::memcpy(at + 6, &count, 2);
  for (std::size_t i = 0; i <= page / 512; ++i) std::memcpy(at + offset + 2 * i, &mark, 2);
  for (std::size_t i = 1; i <= page / 512; ++i) std::memcpy(at + i * 512 - 2, &mark, 2);
}

template <typename T>
void put(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

void make_restart_plausible(std::byte* at, bool version_2, std::uint64_t oldest, std::uint64_t bytes) {
  std::memcpy(at, "RSTR", 4);
  put<std::uint16_t>(at + 4, 0x1e);
  put<std::uint32_t>(at + 0x10, page);
  put<std::uint32_t>(at + 0x14, page);
  put<std::uint16_t>(at + 0x18, 0x30);
  put<std::uint16_t>(at + 0x1a, version_2 ? 0 : 1);
  put<std::uint16_t>(at + 0x1c, version_2 ? 2 : 1);
  std::byte* area = at + 0x30;
  put<std::uint64_t>(area, 0);
  put<std::uint16_t>(area + 8, 1);
  put<std::uint16_t>(area + 0x0c, 0);
  put<std::uint16_t>(area + 0x0e, 0);
  put<std::uint32_t>(area + 0x10, 67 - 18);
  put<std::uint16_t>(area + 0x16, 0x40);
  put<std::uint64_t>(area + 0x18, bytes);
  put<std::uint16_t>(area + 0x26, 0x40);
  put<std::uint64_t>(area + 0x40, oldest);
}

// Records one behind the other on the first page of the ring, each where its LSN says; the input is their data.
void lay_records(std::byte* log, const std::uint8_t* data, std::size_t size) {
  const std::size_t begin = 4 * page;
  std::memset(log + begin, 0, page);
  std::memcpy(log + begin, "RCRD", 4);
  put<std::uint16_t>(log + begin + 4, 0x28);
  std::size_t at = begin + 0x40;
  while (size > 0) {
    const std::size_t length = std::min<std::size_t>(data[0], size - 1);
    if (at + 0x30 + length > begin + page) break;
    put<std::uint64_t>(log + at, (std::uint64_t{7} << 15) | (at >> 3));
    put<std::uint32_t>(log + at + 0x18, static_cast<std::uint32_t>(length));
    put<std::uint32_t>(log + at + 0x20, 1);
    std::memcpy(log + at + 0x30, data + 1, length);
    at = (at + 0x30 + length + 7) / 8 * 8;
    data += 1 + length;
    size -= 1 + length;
  }
  put<std::uint16_t>(log + begin + 0x18, static_cast<std::uint16_t>(at - begin));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::uint8_t mode = data[0];
  std::vector<std::byte> log(pages * page, std::byte{static_cast<unsigned char>(mode & 1 ? 0xff : 0)});
  // The input fills the first restart page and the first record pages.
  const std::size_t first = (mode & 2) != 0 ? 0 : 4 * page;
  const std::size_t count = std::min(size - 1, log.size() - first);
  std::memcpy(log.data() + first, data + 1, count);
  if ((mode & 4) != 0) {
    make_restart_plausible(log.data(), (mode & 8) != 0, (std::uint64_t{7} << 15) | ((4 * page + 0x40) >> 3), log.size());
    make_restart_plausible(log.data() + page, (mode & 8) != 0, (std::uint64_t{7} << 15) | ((4 * page + 0x40) >> 3), log.size());
  }
  if ((mode & 16) != 0) {
    for (std::size_t at = 2 * page; at < first + count; at += page) {
      std::memcpy(log.data() + at, "RCRD", 4);
      put<std::uint16_t>(log.data() + at + 4, 0x28);
    }
  }
  if ((mode & 32) != 0) lay_records(log.data(), data + 1, size - 1);
  for (std::size_t at = 0; at < std::max(first + count, 5 * page); at += page) put_fixups(log.data() + at);
  const vmferry::crack::LogGeometry geometry{.cluster_bytes = 4096, .mft_record_bytes = 1024, .clusters = 100000};
  const auto findings = vmferry::crack::examine_log(log, geometry);
  std::uint64_t end = 0;
  for (const auto& range : findings.named) {
    if (range.lcn < end || range.clusters == 0 || range.lcn + range.clusters > geometry.clusters) std::abort();
    end = range.lcn + range.clusters;
  }
  return 0;
}
