// The header of a hosted sparse extent ("KDMV"), as "Virtual Disk Format 5.0" describes it; streamOptimized
// files carry a second one, the footer, that knows where the grain directory came to lie.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/disk/source_file.h"
#include "protocol/bytes.h"

namespace vmferry::disk {

struct SparseHeader {
  static constexpr std::uint32_t magic = 0x564d444b;  // "KDMV" in the file
  static constexpr std::uint64_t directory_at_end = ~std::uint64_t{0};
  static constexpr std::uint32_t flag_newline_test = 1u << 0, flag_redundant_table = 1u << 1,
                                 flag_zeroed_grains = 1u << 2, flag_compressed = 1u << 16, flag_markers = 1u << 17;
  static constexpr std::uint16_t deflate_algorithm = 1;

  std::uint32_t version = 0;
  std::uint32_t flags = 0;
  std::uint64_t capacity_sectors = 0;
  std::uint64_t grain_sectors = 0;
  std::uint64_t descriptor_sector = 0;
  std::uint64_t descriptor_sectors = 0;
  std::uint32_t table_entries = 0;
  std::uint64_t redundant_directory_sector = 0;
  std::uint64_t directory_sector = 0;
  std::uint64_t overhead_sectors = 0;
  std::uint8_t unclean_shutdown = 0;
  std::uint16_t compression = 0;

  bool compressed() const noexcept { return (flags & flag_compressed) != 0; }
};

enum class MarkerType : std::uint32_t { end_of_stream = 0, grain_table = 1, grain_directory = 2, footer = 3 };

// Throws Error{malformed, unsupported}, naming the file.
SparseHeader read_sparse_header(const SourceFile& file);   // the footer's where there is one
std::string read_embedded_descriptor(const SourceFile& file);  // empty where there is none
Bytes write_sparse_header(const SparseHeader& header);     // 512 bytes

}  // namespace vmferry::disk
