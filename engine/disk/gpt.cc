// GPT as the UEFI specification has it: a header with a CRC and a table with a CRC, and a copy of both at the
// disk's end.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "engine/disk/deflate.h"
#include "engine/disk/partition_tables.h"
#include "protocol/bytes.h"
#include "protocol/limits.h"

namespace vmferry::disk {
namespace {

constexpr std::uint32_t header_bytes_min = 92;
constexpr std::uint32_t entry_bytes_min = 128;
constexpr std::uint64_t entries_bytes_max = 4 * limits::MiB;

struct Header {
  std::uint32_t sector_bytes = 512;
  Uuid disk_id;
  std::uint64_t entries_sector = 0;
  std::uint32_t entries = 0;
  std::uint32_t entry_bytes = 0;
  std::uint32_t entries_crc = 0;
};

// The first three fields are little-endian on disk; text and our bytes have them big-endian, as tools show them.
Uuid guid_from(ByteView raw) {
  Uuid guid = Uuid::from_bytes(raw);
  std::reverse(guid.bytes.begin(), guid.bytes.begin() + 4);
  std::reverse(guid.bytes.begin() + 4, guid.bytes.begin() + 6);
  std::reverse(guid.bytes.begin() + 6, guid.bytes.begin() + 8);
  return guid;
}

std::optional<Header> header_at(const Disk& disk, std::uint64_t offset, std::uint32_t sector_bytes) {
  Bytes raw(sector_bytes);
  if (!range_fits(offset, raw.size(), disk.size_bytes())) return std::nullopt;
  disk.read(offset, raw);
  ByteReader reader(raw);
  if (as_text(reader.bytes(8)) != "EFI PART") return std::nullopt;
  reader.u32();  // revision
  const std::uint32_t length = reader.u32();
  if (length < header_bytes_min || length > raw.size()) return std::nullopt;
  const std::uint32_t crc = reader.u32();
  Bytes checked(raw.begin(), raw.begin() + length);
  std::fill_n(checked.begin() + 16, 4, std::byte{0});
  if (crc32_of(checked) != crc) return std::nullopt;
  reader.u32();
  if (reader.u64() != offset / sector_bytes) return std::nullopt;  // a header that was moved
  reader.u64();  // the other header
  reader.u64();  // first and last usable sector
  reader.u64();
  Header header;
  header.sector_bytes = sector_bytes;
  header.disk_id = guid_from(reader.bytes(16));
  header.entries_sector = reader.u64();
  header.entries = reader.u32();
  header.entry_bytes = reader.u32();
  header.entries_crc = reader.u32();
  return header;
}

// The table, where its CRC is right.
std::optional<Bytes> entries_of(const Disk& disk, const Header& header) {
  if (header.entry_bytes < entry_bytes_min || header.entry_bytes % 8 != 0) return std::nullopt;
  const std::uint64_t length = std::uint64_t{header.entries} * header.entry_bytes;
  if (length > entries_bytes_max || header.entries_sector > disk.size_bytes() / header.sector_bytes)
    return std::nullopt;
  const std::uint64_t offset = header.entries_sector * header.sector_bytes;
  if (!range_fits(offset, length, disk.size_bytes())) return std::nullopt;
  Bytes raw(static_cast<std::size_t>(length));
  disk.read(offset, raw);
  if (crc32_of(raw) != header.entries_crc) return std::nullopt;
  return raw;
}

std::string type_name(const Uuid& type) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 16> known = {{
      {"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "efi"},
      {"e3c9e316-0b5c-4db8-817d-f92df00215ae", "msr"},
      {"ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "basic-data"},
      {"de94bba4-06d1-4d40-a16a-bfd50179d6ac", "recovery"},
      {"5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "ldm-metadata"},
      {"af9b60a0-1431-4f62-bc68-3311714a69ad", "ldm"},
      {"e75caf8f-f680-4cee-afa3-b001e56efc2d", "storage-spaces"},
      {"558d43c5-a1ac-43c0-aac8-d1472b2923d1", "storage-replica"},
      {"21686148-6449-6e6f-744e-656564454649", "bios-boot"},
      {"0fc63daf-8483-4772-8e79-3d69d8477de4", "linux"},
      {"4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "linux"},
      {"0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "linux-swap"},
      {"e6d6d379-f507-44c2-a23c-238f2a3df928", "lvm"},
      {"a19d880f-05fc-4d3b-a006-743f0f84911e", "linux-raid"},
      {"48465300-0000-11aa-aa11-00306543ecac", "hfs"},
      {"7c3457ef-0000-11aa-aa11-00306543ecac", "apfs"},
  }};
  const std::string text = type.to_string();
  for (const auto& [guid, name] : known)
    if (guid == text) return std::string(name);
  return text;
}

void append_utf8(std::string& out, std::uint32_t point) {
  const auto put = [&](std::uint32_t value) { out += static_cast<char>(value); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xc0 | point >> 6);
    put(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    put(0xe0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3f));
    put(0x80 | (point & 0x3f));
  } else {
    put(0xf0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3f));
    put(0x80 | (point >> 6 & 0x3f));
    put(0x80 | (point & 0x3f));
  }
}

// 36 UTF-16 units, ended by a zero. Half a pair and control characters become U+FFFD: the name will be printed.
std::string name_from(ByteReader reader) {
  constexpr std::uint32_t replacement = 0xfffd;
  std::string out;
  std::uint32_t high = 0;
  for (int i = 0; i < 36; ++i) {
    const std::uint32_t unit = reader.u16();
    const bool is_low = unit >= 0xdc00 && unit < 0xe000;
    if (high != 0 && !is_low) append_utf8(out, replacement);
    if (is_low) append_utf8(out, high != 0 ? 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00) : replacement);
    high = unit >= 0xd800 && unit < 0xdc00 ? unit : 0;
    if (unit == 0) return out;
    if (high == 0 && !is_low) append_utf8(out, unit < 0x20 || unit == 0x7f ? replacement : unit);
  }
  if (high != 0) append_utf8(out, replacement);
  return out;
}

void add_entries(const Disk& disk, const Header& header, ByteView raw, PartitionTable& table) {
  for (std::uint32_t i = 0; i < header.entries; ++i) {
    ByteReader entry(raw.subspan(std::size_t{i} * header.entry_bytes, entry_bytes_min));
    const Uuid type = guid_from(entry.bytes(16));
    if (type.is_none()) continue;
    Partition partition;
    partition.number = i + 1;
    partition.type = type_name(type);
    partition.unique_id = guid_from(entry.bytes(16));
    const std::uint64_t first = entry.u64();
    const std::uint64_t last = entry.u64();
    entry.u64();  // attributes
    partition.name = name_from(entry);
    if (first == 0 || last < first || last >= disk.size_bytes() / header.sector_bytes) {
      table.problems.push_back("partition " + std::to_string(i + 1) + " does not lie within the disk");
      continue;
    }
    if (table.partitions.size() == limits::volumes_per_disk_max) {
      table.problems.push_back("there are more than " + std::to_string(limits::volumes_per_disk_max) + " partitions");
      return;
    }
    partition.range = {.offset = first * header.sector_bytes, .length = (last - first + 1) * header.sector_bytes};
    table.partitions.push_back(std::move(partition));
  }
}

}  // namespace

std::optional<PartitionTable> read_gpt(const Disk& disk) {
  bool first_was_damaged = false;
  for (const bool backup : {false, true}) {
    for (const std::uint32_t sector_bytes : {512U, 4096U}) {
      if (disk.size_bytes() < 3 * std::uint64_t{sector_bytes}) continue;
      const std::uint64_t last = disk.size_bytes() / sector_bytes - 1;
      const auto header = header_at(disk, (backup ? last : 1) * sector_bytes, sector_bytes);
      if (!header) continue;
      const auto entries = entries_of(disk, *header);
      if (!entries) continue;
      PartitionTable table;
      table.scheme = PartitionScheme::gpt;
      table.sector_bytes = sector_bytes;
      table.disk_id = header->disk_id;
      if (first_was_damaged) table.problems.push_back("the first GPT is damaged: its copy at the disk's end was used");
      add_entries(disk, *header, *entries, table);
      return table;
    }
    first_was_damaged = true;
  }
  return std::nullopt;
}

}  // namespace vmferry::disk
