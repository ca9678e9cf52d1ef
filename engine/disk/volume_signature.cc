#include <algorithm>
#include <array>
#include <string_view>

#include "engine/disk/partition_tables.h"
#include "protocol/bytes.h"

namespace vmferry::disk {
namespace {

using namespace std::string_view_literals;

struct Signature {
  std::string_view name;
  std::size_t offset;
  std::string_view bytes;
};

// From the file systems' own documents. In this order: what encrypts or wraps a volume comes before what it wraps.
constexpr std::array signatures = {
    Signature{"bitlocker", 3, "-FVE-FS-"},
    Signature{"ntfs", 3, "NTFS    "},
    Signature{"exfat", 3, "EXFAT   "},
    Signature{"refs", 3, "ReFS\0\0\0\0"sv},
    Signature{"luks", 0, "LUKS\xba\xbe"},
    Signature{"lvm", 512, "LABELONE"},
    Signature{"fat", 82, "FAT32   "},
    Signature{"fat", 54, "FAT16   "},
    Signature{"fat", 54, "FAT12   "},
    Signature{"xfs", 0, "XFSB"},
    Signature{"ext", 1080, "\x53\xef"},
    Signature{"btrfs", 65600, "_BHRfS_M"},
    Signature{"swap", 4086, "SWAPSPACE2"},
    Signature{"mdraid", 4096, "\xfc\x4e\x2b\xa9"},
    Signature{"apfs", 32, "NXSB"},
    Signature{"hfs", 1024, "H+"},
    Signature{"iso9660", 32769, "CD001"},
};

constexpr std::size_t probe_bytes_max = 66 * 1024;

}  // namespace

std::string volume_signature(const Disk& disk, const ByteRange& range) {
  Bytes start(static_cast<std::size_t>(std::min<std::uint64_t>(range.length, probe_bytes_max)));
  disk.read(range.offset, start);
  const std::string_view text = as_text(start);
  for (const Signature& signature : signatures)
    if (signature.offset < text.size() && text.substr(signature.offset).starts_with(signature.bytes))
      return std::string(signature.name);
  return {};
}

}  // namespace vmferry::disk
