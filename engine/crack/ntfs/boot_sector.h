// BootSector: the volume's geometry, as its first sector says, checked against the volume's size.
#pragma once

#include <cstdint>

#include "engine/crack/volume_reader.h"
#include "protocol/bytes.h"

namespace vmferry::crack {

struct BootSector {
  std::uint32_t sector_bytes = 0;
  std::uint32_t cluster_bytes = 0;
  std::uint32_t mft_record_bytes = 0;
  std::uint64_t clusters = 0;
  std::uint64_t mft_lcn = 0;
  std::uint64_t mft_mirror_lcn = 0;
  std::uint64_t serial = 0;
};

inline constexpr std::size_t boot_sector_bytes = 512;

// Throws Error{malformed} with the reason where it is no NTFS boot sector.
BootSector parse_boot_sector(ByteView sector, std::uint64_t volume_bytes);
BootSector read_boot_sector(VolumeReader& volume);

}  // namespace vmferry::crack
