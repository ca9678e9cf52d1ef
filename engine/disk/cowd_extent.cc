#include "engine/disk/cowd_extent.h"

#include <array>
#include <utility>

#include "engine/disk/grain_extent.h"
#include "engine/disk/vmdk_sector.h"
#include "protocol/bytes.h"
#include "protocol/error.h"

namespace vmferry::disk {
namespace {

GrainLayout layout_of(const SourceFile& file, const CowdHeader& header, std::uint64_t size_bytes) {
  if (header.grain_sectors > grain_bytes_max / vmdk_sector_bytes)
    throw Error(ErrorCode::malformed, "cannot read a COWD extent", file.path().string(),
                "its grains have " + std::to_string(header.grain_sectors) + " sectors");
  const std::uint64_t grain_bytes = header.grain_sectors * vmdk_sector_bytes;
  expect_capacity(file, size_bytes, header.capacity_sectors, grain_bytes);
  return {.size_bytes = size_bytes,
          .grain_bytes = grain_bytes,
          .table_entries = CowdHeader::table_entries,
          .directory_offset = header.directory_sector * vmdk_sector_bytes,
          .directory_entries = header.directory_entries,
          .entry_bytes = 4};
}

class CowdExtent final : public GrainExtent {
 public:
  using GrainExtent::GrainExtent;

 protected:
  std::optional<std::uint64_t> table_offset(std::uint64_t directory_entry) const override {
    if (directory_entry == 0) return std::nullopt;
    return directory_entry * vmdk_sector_bytes;
  }
  Grain grain(std::uint64_t table_entry) const override {
    if (table_entry == 0) return {};
    if (table_entry < 4) malformed("a grain lies in its header");  // of four sectors
    return {.kind = Piece::Kind::data, .file_offset = table_entry * vmdk_sector_bytes};
  }
};

}  // namespace

CowdHeader read_cowd_header(const SourceFile& file) {
  std::array<std::byte, 44> raw{};
  file.read(0, raw);
  ByteReader reader(raw, "a COWD header");
  if (reader.u32() != CowdHeader::magic)
    throw Error(ErrorCode::malformed, "cannot read an extent", file.path().string(), "it does not begin with COWD");
  if (const std::uint32_t version = reader.u32(); version != 1)
    throw Error(ErrorCode::unsupported, "cannot read a COWD extent", file.path().string(),
                "its version is " + std::to_string(version));
  CowdHeader header;
  header.flags = reader.u32();
  header.capacity_sectors = reader.u32();
  header.grain_sectors = reader.u32();
  header.directory_sector = reader.u32();
  header.directory_entries = reader.u32();
  reader.u32();  // the next free sector
  if ((header.flags & CowdHeader::flag_root) != 0) {
    header.geometry.cylinders = reader.u32();
    header.geometry.heads = reader.u32();
    header.geometry.sectors = reader.u32();
  }
  return header;
}

std::unique_ptr<Extent> open_cowd_extent(std::shared_ptr<const SourceFile> file, std::uint64_t size_bytes,
                                         const ExtentCaches& caches) {
  const GrainLayout layout = layout_of(*file, read_cowd_header(*file), size_bytes);
  return std::make_unique<CowdExtent>(std::move(file), layout, caches);
}

}  // namespace vmferry::disk
