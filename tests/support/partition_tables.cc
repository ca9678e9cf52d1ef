#include "tests/support/partition_tables.h"

#include <array>
#include <stdexcept>

#include "tests/support/content.h"
#include "tests/support/sparse_file.h"

namespace vmferry::test {
namespace {

constexpr std::size_t gpt_entry_bytes = 128;
constexpr std::size_t gpt_entry_count = 128;
constexpr std::uint64_t gpt_table_sectors = gpt_entry_bytes * gpt_entry_count / sector_bytes;

std::uint8_t mbr_type(PartitionKind kind) {
  switch (kind) {
    case PartitionKind::basic_data: return 0x07;
    case PartitionKind::efi: return 0xef;
    case PartitionKind::reserved: return 0x0c;
    case PartitionKind::recovery: return 0x27;
    case PartitionKind::linux_data: return 0x83;
  }
  return 0;
}

// As the bytes lie on the disk: the first three fields of a GUID are little-endian.
std::string_view gpt_type(PartitionKind kind) {
  switch (kind) {
    case PartitionKind::basic_data: return "a2a0d0ebe5b9334487c068b6b72699c7";
    case PartitionKind::efi: return "28732ac11ff8d211ba4b00a0c93ec93b";
    case PartitionKind::reserved: return "16e3c9e35c0bb84d817df92df00215ae";
    case PartitionKind::recovery: return "a4bb94ded106404da16abfd50179d6ac";
    case PartitionKind::linux_data: return "af3dc60f838472478e793d69d8477de4";
  }
  return {};
}

Bytes mbr_sector() {
  Bytes sector(sector_bytes);
  sector[510] = std::byte{0x55};
  sector[511] = std::byte{0xaa};
  return sector;
}

// A record without cylinders and heads: LBA only, as every system of this century reads it.
void put_mbr_record(Bytes& sector, std::size_t index, std::uint8_t type, std::uint64_t first_lba,
                    std::uint64_t sectors) {
  if (first_lba + sectors > UINT32_MAX) throw std::runtime_error("an MBR cannot describe more than 2 TiB");
  ByteWriter record;
  record.u32(0xfffffe00);  // not active; CHS fields say "too large for CHS"
  record.u8(type);
  record.u8(0xfe);
  record.u16(0xffff);
  record.u32(static_cast<std::uint32_t>(first_lba));
  record.u32(static_cast<std::uint32_t>(sectors));
  std::copy(record.view().begin(), record.view().end(), sector.begin() + static_cast<std::ptrdiff_t>(446 + 16 * index));
}

std::uint32_t crc32(ByteView bytes) {
  std::uint32_t crc = ~0U;
  for (const std::byte value : bytes) {
    crc ^= static_cast<std::uint32_t>(value);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320U : 0U);
  }
  return ~crc;
}

Bytes gpt_entries(const std::vector<Partition>& partitions, const std::vector<ByteRange>& ranges) {
  ByteWriter table;
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    ByteWriter entry;
    entry.bytes(from_hex(gpt_type(partitions[i].kind)));
    entry.bytes(random_bytes(ranges[i].offset ^ ranges[i].length, 16));
    entry.u64(ranges[i].offset / sector_bytes);
    entry.u64(ranges[i].end() / sector_bytes - 1);
    entry.u64(0);
    for (const char letter : partitions[i].name.substr(0, 36)) entry.u16(static_cast<unsigned char>(letter));
    table.bytes(entry.view());
    table.bytes(Bytes(gpt_entry_bytes - entry.size()));
  }
  table.bytes(Bytes(gpt_entry_bytes * gpt_entry_count - table.size()));
  return std::move(table).take();
}

Bytes gpt_header(std::uint64_t own_lba, std::uint64_t other_lba, std::uint64_t table_lba, std::uint64_t disk_sectors,
                 const Bytes& entries) {
  const auto encode = [&](std::uint32_t crc) {
    ByteWriter header;
    header.bytes(as_bytes("EFI PART"));
    header.u32(0x00010000);
    header.u32(92);
    header.u32(crc);
    header.u32(0);
    header.u64(own_lba);
    header.u64(other_lba);
    header.u64(2 + gpt_table_sectors);
    header.u64(disk_sectors - 2 - gpt_table_sectors);
    header.bytes(random_bytes(disk_sectors, 16));
    header.u64(table_lba);
    header.u32(gpt_entry_count);
    header.u32(gpt_entry_bytes);
    header.u32(crc32(entries));
    return std::move(header).take();
  };
  Bytes header = encode(crc32(encode(0)));
  header.resize(sector_bytes);
  return header;
}

}  // namespace

void write_mbr(const std::filesystem::path& disk, const std::vector<Partition>& partitions,
               const std::vector<ByteRange>& ranges) {
  Bytes boot = mbr_sector();
  std::size_t index = 0;
  std::vector<std::size_t> logical;
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    if (partitions[i].logical) {
      logical.push_back(i);
      continue;
    }
    if (index == 4) throw std::runtime_error("an MBR has four records");
    put_mbr_record(boot, index++, mbr_type(partitions[i].kind), ranges[i].offset / sector_bytes,
                   ranges[i].length / sector_bytes);
  }
  if (!logical.empty()) {
    if (index == 4) throw std::runtime_error("an MBR has four records");
    const std::uint64_t begin = ranges[logical.front()].offset - partition_alignment;
    const std::uint64_t end = ranges[logical.back()].end();
    put_mbr_record(boot, index, 0x0f, begin / sector_bytes, (end - begin) / sector_bytes);
    for (std::size_t i = 0; i < logical.size(); ++i) {
      const ByteRange& range = ranges[logical[i]];
      Bytes record = mbr_sector();
      put_mbr_record(record, 0, mbr_type(partitions[logical[i]].kind), partition_alignment / sector_bytes,
                     range.length / sector_bytes);
      if (i + 1 < logical.size()) {
        const ByteRange& next = ranges[logical[i + 1]];
        put_mbr_record(record, 1, 0x05, (next.offset - partition_alignment - begin) / sector_bytes,
                       (next.length + partition_alignment) / sector_bytes);
      }
      write_range(disk, range.offset - partition_alignment, record);
    }
  }
  write_range(disk, 0, boot);
}

void write_gpt(const std::filesystem::path& disk, std::uint64_t disk_bytes, const std::vector<Partition>& partitions,
               const std::vector<ByteRange>& ranges) {
  if (partitions.size() > gpt_entry_count) throw std::runtime_error("this GPT has 128 entries");
  const std::uint64_t sectors = disk_bytes / sector_bytes;
  Bytes protective = mbr_sector();
  put_mbr_record(protective, 0, 0xee, 1, std::min<std::uint64_t>(sectors - 1, UINT32_MAX - 1));
  write_range(disk, 0, protective);
  const Bytes entries = gpt_entries(partitions, ranges);
  const std::uint64_t last = sectors - 1;
  write_range(disk, sector_bytes, gpt_header(1, last, 2, sectors, entries));
  write_range(disk, 2 * sector_bytes, entries);
  write_range(disk, (last - gpt_table_sectors) * sector_bytes, entries);
  write_range(disk, last * sector_bytes, gpt_header(last, 1, last - gpt_table_sectors, sectors, entries));
}

}  // namespace vmferry::test
