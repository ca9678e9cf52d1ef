#include "engine/crack/ntfs/boot_sector.h"

#include <bit>

#include "engine/crack/ntfs/little_endian.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

[[noreturn]] void reject_boot(const char* why) {
  throw Error(ErrorCode::malformed, "cannot crack the volume", {}, std::string("its boot sector is not NTFS: ") + why);
}

// Counts above 0x80 are powers of two: 0xf4 stands for 2^12.
std::uint32_t sectors_per_cluster(std::uint8_t raw) {
  if (raw <= 128) return raw;
  const unsigned shift = 256U - raw;
  if (shift > 12) reject_boot("the cluster size");
  return 1U << shift;
}

std::uint64_t record_bytes(std::int8_t raw, std::uint64_t cluster_bytes) {
  if (raw > 0) return static_cast<std::uint64_t>(raw) * cluster_bytes;
  const int shift = -raw;
  if (shift < 9 || shift > 16) reject_boot("the MFT record size");
  return std::uint64_t{1} << shift;
}

}  // namespace

BootSector parse_boot_sector(ByteView sector, std::uint64_t volume_bytes) {
  if (sector.size() < boot_sector_bytes) reject_boot("it is too short");
  if (as_text(sector.subspan(3, 8)) != "NTFS    ") reject_boot("the name NTFS is not there");
  BootSector boot;
  boot.sector_bytes = le16(sector, 0x0b);
  if (!std::has_single_bit(boot.sector_bytes) || boot.sector_bytes < 256 || boot.sector_bytes > 4096) {
    reject_boot("the sector size");
  }
  const std::uint64_t cluster_bytes =
      std::uint64_t{boot.sector_bytes} * sectors_per_cluster(std::to_integer<std::uint8_t>(sector[0x0d]));
  if (!std::has_single_bit(cluster_bytes) || cluster_bytes < 512 || cluster_bytes > (std::uint64_t{2} << 20)) {
    reject_boot("the cluster size");
  }
  boot.cluster_bytes = static_cast<std::uint32_t>(cluster_bytes);
  const std::uint64_t mft_record_bytes = record_bytes(static_cast<std::int8_t>(sector[0x40]), cluster_bytes);
  if (!std::has_single_bit(mft_record_bytes) || mft_record_bytes < 512 || mft_record_bytes > 65536) {
    reject_boot("the MFT record size");
  }
  boot.mft_record_bytes = static_cast<std::uint32_t>(mft_record_bytes);
  const std::uint64_t sectors = le64(sector, 0x28);
  boot.clusters = sectors / (cluster_bytes / boot.sector_bytes);
  if (boot.clusters == 0) reject_boot("it has no clusters");
  if (sectors > volume_bytes / boot.sector_bytes) reject_boot("it is longer than its partition");
  boot.mft_lcn = le64(sector, 0x30);
  boot.mft_mirror_lcn = le64(sector, 0x38);
  if (boot.mft_lcn >= boot.clusters || boot.mft_mirror_lcn >= boot.clusters)
    reject_boot("$MFT lies outside the volume");
  boot.serial = le64(sector, 0x48);
  return boot;
}

BootSector read_boot_sector(VolumeReader& volume) {
  if (volume.size_bytes() < boot_sector_bytes) reject_boot("it is too short");
  Bytes sector(boot_sector_bytes);
  volume.read(0, sector);
  return parse_boot_sector(sector, volume.size_bytes());
}

}  // namespace vmferry::crack
