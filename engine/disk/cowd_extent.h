// COWD: what vmfsSparse snapshots of ESX are kept in (libvmdk's documentation describes its header). A file of
// its own, without a descriptor, is a disk only where it is the root of its chain.
#pragma once

#include <cstdint>

#include "engine/disk/disk.h"
#include "engine/disk/source_file.h"

namespace vmferry::disk {

struct CowdHeader {
  static constexpr std::uint32_t magic = 0x44574f43;  // "COWD" in the file
  static constexpr std::uint32_t flag_root = 1;
  static constexpr std::uint64_t table_entries = 4096;

  std::uint32_t flags = 0;
  std::uint64_t capacity_sectors = 0;
  std::uint64_t grain_sectors = 0;
  std::uint64_t directory_sector = 0;
  std::uint64_t directory_entries = 0;
  Geometry geometry;  // of a root
};

CowdHeader read_cowd_header(const SourceFile& file);

}  // namespace vmferry::disk
