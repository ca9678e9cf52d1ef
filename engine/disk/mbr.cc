#include <array>
#include <set>
#include <string>

#include "engine/disk/partition_tables.h"
#include "protocol/bytes.h"

namespace vmferry::disk {
namespace {

constexpr std::size_t boot_sector_bytes = 512;
constexpr std::size_t signature_offset = 440;
// Windows and Linux both stop far below.
constexpr std::size_t logical_partitions_max = 256;

struct Entry {
  std::uint8_t boot = 0;
  std::uint8_t type = 0;
  std::uint64_t first = 0;  // in sectors
  std::uint64_t count = 0;

  bool is_empty() const noexcept { return type == 0 || count == 0; }
  bool is_extended() const noexcept { return type == 0x05 || type == 0x0f || type == 0x85; }
};

struct BootSector {
  bool signed_55aa = false;
  std::uint32_t disk_signature = 0;
  std::array<Entry, 4> entries;
};

BootSector boot_sector_at(const Disk& disk, std::uint64_t offset) {
  std::array<std::byte, boot_sector_bytes> raw{};
  BootSector sector;
  if (!range_fits(offset, raw.size(), disk.size_bytes())) return sector;
  disk.read(offset, raw);
  sector.signed_55aa = raw[510] == std::byte{0x55} && raw[511] == std::byte{0xaa};
  ByteReader reader(ByteView(raw).subspan(signature_offset));
  sector.disk_signature = reader.u32();
  reader.u16();  // then the four entries, at 446
  for (Entry& entry : sector.entries) {
    entry.boot = reader.u8();
    reader.bytes(3);
    entry.type = reader.u8();
    reader.bytes(3);
    entry.first = reader.u32();
    entry.count = reader.u32();
  }
  return sector;
}

std::string type_name(std::uint8_t type) {
  switch (type) {
    case 0x01: return "fat12";
    case 0x04:
    case 0x06:
    case 0x0e: return "fat16";
    case 0x07: return "ntfs/exfat";
    case 0x0b:
    case 0x0c: return "fat32";
    case 0x27: return "recovery";
    case 0x42: return "ldm";
    case 0x82: return "linux-swap";
    case 0x83: return "linux";
    case 0x8e: return "lvm";
    case 0xef: return "efi";
    case 0xfd: return "linux-raid";
    default: return "0x" + to_hex(std::array{static_cast<std::byte>(type)});
  }
}

class MbrReader {
 public:
  MbrReader(const Disk& disk, std::uint32_t sector_bytes) : disk_(disk), sector_bytes_(sector_bytes) {}

  std::optional<PartitionTable> run() {
    const BootSector sector = boot_sector_at(disk_, 0);
    if (!sector.signed_55aa) return std::nullopt;
    // The boot code of a volume without a table lies where a table would: its "entries" have no such flags.
    for (const Entry& entry : sector.entries)
      if (entry.boot != 0 && entry.boot != 0x80) return std::nullopt;
    table_.scheme = PartitionScheme::mbr;
    table_.sector_bytes = sector_bytes_;
    if (sector.disk_signature != 0) {
      ByteWriter identity;
      identity.string("MBR disk signature");
      identity.u32(sector.disk_signature);
      table_.disk_id = Uuid::derived(identity.view());
    }
    for (std::uint32_t i = 0; i < sector.entries.size(); ++i)
      if (const Entry& entry = sector.entries[i]; !entry.is_empty() && !entry.is_extended())
        add(i + 1, entry, entry.first);
    for (const Entry& entry : sector.entries)
      if (!entry.is_empty() && entry.is_extended()) add_logical(entry);
    return std::move(table_);
  }

 private:
  void add(std::uint32_t number, const Entry& entry, std::uint64_t first) {
    // 32-bit sectors (or the sum of three of them) times 4096 stay far below 2^64.
    const ByteRange range{.offset = first * sector_bytes_, .length = entry.count * sector_bytes_};
    if (first == 0 || !range_fits(range.offset, range.length, disk_.size_bytes())) {
      table_.problems.push_back("partition " + std::to_string(number) + " does not lie within the disk");
      return;
    }
    Partition partition;
    partition.number = number;
    partition.range = range;
    partition.type = type_name(entry.type);
    table_.partitions.push_back(std::move(partition));
  }

  // Each logical partition has a boot sector of its own inside the extended one: its first entry is the partition,
  // relative to it; its second the next such sector, relative to the extended partition.
  void add_logical(const Entry& extended) {
    std::set<std::uint64_t> seen;
    std::uint64_t at = extended.first;
    for (;;) {
      if (!seen.insert(at).second) {
        table_.problems.push_back("the list of logical partitions runs in a circle");
        return;
      }
      if (seen.size() > logical_partitions_max) {
        table_.problems.push_back("there are too many logical partitions");
        return;
      }
      const BootSector sector = boot_sector_at(disk_, at * sector_bytes_);
      if (!sector.signed_55aa) {
        table_.problems.push_back("the list of logical partitions is broken at sector " + std::to_string(at));
        return;
      }
      const Entry* next = nullptr;
      for (const Entry& entry : sector.entries) {
        if (entry.is_empty()) continue;
        if (entry.is_extended()) {
          if (next == nullptr) next = &entry;
        } else {
          add(next_logical_++, entry, at + entry.first);
        }
      }
      if (next == nullptr) return;
      if (next->first >= extended.count) {
        table_.problems.push_back("the list of logical partitions leaves its extended partition");
        return;
      }
      at = extended.first + next->first;
    }
  }

  const Disk& disk_;
  std::uint32_t sector_bytes_;
  std::uint32_t next_logical_ = 5;
  PartitionTable table_;
};

}  // namespace

std::optional<PartitionTable> read_mbr(const Disk& disk, std::uint32_t sector_bytes) {
  return MbrReader(disk, sector_bytes).run();
}

bool mbr_protects_gpt(const Disk& disk) {
  const BootSector sector = boot_sector_at(disk, 0);
  if (!sector.signed_55aa) return false;
  for (const Entry& entry : sector.entries)
    if (entry.type == 0xee) return true;
  return false;
}

bool has_boot_signature(const Disk& disk) { return boot_sector_at(disk, 0).signed_55aa; }

}  // namespace vmferry::disk
