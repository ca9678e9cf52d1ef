#include "engine/disk/sparse_header.h"

#include <algorithm>
#include <array>

#include "protocol/byte_range.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::disk {
namespace {

constexpr std::size_t header_bytes = 512;
constexpr std::string_view newline_test = "\n \r\n";

[[noreturn]] void malformed(const SourceFile& file, std::string why) {
  throw Error(ErrorCode::malformed, "cannot read a sparse extent's header", file.path().string(), std::move(why));
}

SparseHeader header_at(const SourceFile& file, std::uint64_t offset) {
  std::array<std::byte, header_bytes> raw{};
  file.read(offset, raw);
  ByteReader reader(raw, "a sparse extent's header");
  if (reader.u32() != SparseHeader::magic) malformed(file, "it does not begin with KDMV");
  SparseHeader header;
  header.version = reader.u32();
  header.flags = reader.u32();
  header.capacity_sectors = reader.u64();
  header.grain_sectors = reader.u64();
  header.descriptor_sector = reader.u64();
  header.descriptor_sectors = reader.u64();
  header.table_entries = reader.u32();
  header.redundant_directory_sector = reader.u64();
  header.directory_sector = reader.u64();
  header.overhead_sectors = reader.u64();
  header.unclean_shutdown = reader.u8();
  const std::string_view newlines = as_text(reader.bytes(newline_test.size()));
  header.compression = reader.u16();
  if (header.version == 0 || header.version > 3)
    throw Error(ErrorCode::unsupported, "cannot read a sparse extent", file.path().string(),
                "its version is " + std::to_string(header.version));
  if ((header.flags & SparseHeader::flag_newline_test) != 0 && newlines != newline_test)
    malformed(file, "its line ends were changed; it was copied as text");
  return header;
}

// The last three sectors: a footer marker, the footer, an end-of-stream marker.
SparseHeader read_footer(const SourceFile& file) {
  const std::uint64_t size = file.size_bytes();
  if (size < 4 * header_bytes) malformed(file, "it ends before its footer");
  std::array<std::byte, header_bytes> raw{};
  file.read(size - 3 * header_bytes, raw);
  ByteReader marker(raw, "a footer's marker");
  marker.u64();
  if (marker.u32() != 0 || marker.u32() != static_cast<std::uint32_t>(MarkerType::footer))
    malformed(file, "its footer is missing; it seems to be truncated");
  const SparseHeader footer = header_at(file, size - 2 * header_bytes);
  if (footer.directory_sector == SparseHeader::directory_at_end) malformed(file, "its footer has no directory");
  return footer;
}

}  // namespace

SparseHeader read_sparse_header(const SourceFile& file) {
  const SparseHeader header = header_at(file, 0);
  return header.directory_sector == SparseHeader::directory_at_end ? read_footer(file) : header;
}

std::string read_embedded_descriptor(const SourceFile& file) {
  const SparseHeader header = header_at(file, 0);
  if (header.descriptor_sector == 0 || header.descriptor_sectors == 0) return {};
  if (header.descriptor_sectors > limits::descriptor_bytes_max / header_bytes)
    malformed(file, "its descriptor is too large");
  const std::uint64_t offset = checked_mul(header.descriptor_sector, std::uint64_t{header_bytes}, "a descriptor");
  std::string text(static_cast<std::size_t>(header.descriptor_sectors) * header_bytes, '\0');
  file.read(offset, std::as_writable_bytes(std::span(text)));
  text.resize(std::min(text.find('\0'), text.size()));  // padded with NULs
  return text;
}

Bytes write_sparse_header(const SparseHeader& header) {
  ByteWriter writer;
  writer.u32(SparseHeader::magic);
  writer.u32(header.version);
  writer.u32(header.flags);
  writer.u64(header.capacity_sectors);
  writer.u64(header.grain_sectors);
  writer.u64(header.descriptor_sector);
  writer.u64(header.descriptor_sectors);
  writer.u32(header.table_entries);
  writer.u64(header.redundant_directory_sector);
  writer.u64(header.directory_sector);
  writer.u64(header.overhead_sectors);
  writer.u8(header.unclean_shutdown);
  writer.bytes(as_bytes(newline_test));
  writer.u16(header.compression);
  Bytes raw = std::move(writer).take();
  raw.resize(header_bytes);
  return raw;
}

}  // namespace vmferry::disk
