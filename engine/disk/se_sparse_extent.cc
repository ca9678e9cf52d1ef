// seSparse: the snapshots of VMFS 6, and of VMFS 5 above 2 TB. VMware has not published the format; this follows
// what is publicly known of it (as QEMU documents it) and takes nothing for granted: any number that is not the
// known one is refused.
#include <array>
#include <utility>

#include "engine/disk/grain_extent.h"
#include "engine/disk/vmdk_sector.h"
#include "protocol/byte_range.h"
#include "protocol/bytes.h"
#include "protocol/error.h"

namespace vmferry::disk {
namespace {

constexpr std::uint64_t header_magic = 0xcafebabe;
constexpr std::uint64_t volatile_magic = 0xcafecafe;
constexpr std::uint64_t known_version = 0x0000000200000001;
constexpr std::uint64_t grain_sectors = 8;
constexpr std::uint64_t table_sectors = 64;
constexpr unsigned table_entry_bytes = 8;

struct SeSparseHeader {
  std::uint64_t capacity_sectors = 0;
  std::uint64_t volatile_sector = 0;
  std::uint64_t directory_sector = 0, directory_sectors = 0;
  std::uint64_t tables_sector = 0, tables_sectors = 0;
  std::uint64_t grains_sector = 0;
};

void expect(const SourceFile& file, std::uint64_t value, std::uint64_t known, std::string_view of_what) {
  if (value == known) return;
  throw Error(ErrorCode::unsupported, "cannot read a seSparse extent", file.path().string(),
              "its " + std::string(of_what) + " is " + std::to_string(value));
}

SeSparseHeader read_header(const SourceFile& file) {
  std::array<std::byte, 512> raw{};
  file.read(0, raw);
  ByteReader reader(raw, "a seSparse header");
  expect(file, reader.u64(), header_magic, "magic number");
  expect(file, reader.u64(), known_version, "version");
  SeSparseHeader header;
  header.capacity_sectors = reader.u64();
  expect(file, reader.u64(), grain_sectors, "grain size");
  expect(file, reader.u64(), table_sectors, "grain table size");
  expect(file, reader.u64(), 0, "set of flags");
  for (int i = 0; i < 4; ++i) expect(file, reader.u64(), 0, "reserved field");
  header.volatile_sector = reader.u64();
  for (int i = 0; i < 5; ++i) reader.u64();  // volatile header's size, journal's header and journal: offset, size
  header.directory_sector = reader.u64();
  header.directory_sectors = reader.u64();
  header.tables_sector = reader.u64();
  header.tables_sectors = reader.u64();
  for (int i = 0; i < 4; ++i) reader.u64();  // free bitmap, back map: offset, size
  header.grains_sector = reader.u64();
  return header;
}

// The journal holds changes of the tables that are not in them yet: we do not replay it.
void expect_clean(const SourceFile& file, std::uint64_t volatile_sector) {
  std::array<std::byte, 512> raw{};
  file.read(checked_mul(volatile_sector, vmdk_sector_bytes, "a seSparse header"), raw);
  ByteReader reader(raw, "a seSparse header");
  expect(file, reader.u64(), volatile_magic, "second magic number");
  reader.u64();  // the next free table
  reader.u64();  // the next transaction
  if (reader.u64() != 0)
    throw Error(ErrorCode::unsupported, "cannot read a seSparse extent", file.path().string(),
                "its journal was not replayed; start and stop the machine once, or consolidate its snapshots");
}

class SeSparseExtent final : public GrainExtent {
 public:
  SeSparseExtent(std::shared_ptr<const SourceFile> file, const GrainLayout& layout, const SeSparseHeader& header,
                 const ExtentCaches& caches)
      : GrainExtent(std::move(file), layout, caches),
        tables_offset_(checked_mul(header.tables_sector, vmdk_sector_bytes, "a seSparse extent's tables")),
        tables_(header.tables_sectors / table_sectors),
        grains_offset_(checked_mul(header.grains_sector, vmdk_sector_bytes, "a seSparse extent's grains")) {}

 protected:
  // The top four bits are 1 for a table, the low 32 bits its number.
  std::optional<std::uint64_t> table_offset(std::uint64_t directory_entry) const override {
    if (directory_entry == 0) return std::nullopt;
    if (directory_entry >> 32 != 0x10000000) malformed("an entry of its directory is of no known kind");
    const std::uint64_t index = directory_entry & 0xffffffff;
    if (index >= tables_) malformed("a grain table lies outside its tables");
    return checked_add(tables_offset_, index * table_sectors * vmdk_sector_bytes, "a grain table's place");
  }

  // The top four bits: 0 never written, 1 unmapped, 2 zeroed, 3 written. Of a written one bits 48-59 are the low
  // twelve bits of the grain's number, and bits 0-47 the rest.
  Grain grain(std::uint64_t table_entry) const override {
    switch (table_entry >> 60) {
      case 0:
        if (table_entry != 0) malformed("a grain is of no known kind");
        return {};
      case 1:
      case 2: return {.kind = Piece::Kind::zeros};
      case 3: {
        const std::uint64_t number =
            ((table_entry >> 48) & 0xfff) | ((table_entry & 0x0000ffffffffffff) << 12);
        const std::uint64_t within = checked_mul(number, grain_sectors * vmdk_sector_bytes, "a grain's place");
        return {.kind = Piece::Kind::data, .file_offset = checked_add(grains_offset_, within, "a grain's place")};
      }
      default: malformed("a grain is of no known kind");
    }
  }

 private:
  std::uint64_t tables_offset_;
  std::uint64_t tables_;
  std::uint64_t grains_offset_;
};

}  // namespace

std::unique_ptr<Extent> open_se_sparse_extent(std::shared_ptr<const SourceFile> file, std::uint64_t size_bytes,
                                              const ExtentCaches& caches) {
  const SeSparseHeader header = read_header(*file);
  expect_clean(*file, header.volatile_sector);
  constexpr std::uint64_t grain_bytes = grain_sectors * vmdk_sector_bytes;
  expect_capacity(*file, size_bytes, header.capacity_sectors, grain_bytes);
  const GrainLayout layout{
      .size_bytes = size_bytes,
      .grain_bytes = grain_bytes,
      .table_entries = table_sectors * vmdk_sector_bytes / table_entry_bytes,
      .directory_offset = checked_mul(header.directory_sector, vmdk_sector_bytes, "a grain directory's place"),
      .directory_entries =
          checked_mul(header.directory_sectors, vmdk_sector_bytes, "a grain directory's size") / table_entry_bytes,
      .entry_bytes = table_entry_bytes};
  return std::make_unique<SeSparseExtent>(std::move(file), layout, header, caches);
}

}  // namespace vmferry::disk
