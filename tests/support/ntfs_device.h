// NtfsDevice: a range of a file as a device of libntfs-3g. Private to tests/support/ntfs_*.cc.
#pragma once

#include "tests/support/ntfs_library.h"

namespace vmferry::test {

struct NtfsDevice {
  int file = -1;
  ByteRange where;
  std::uint64_t position = 0;  // for read, write and seek, which the library hardly uses

  NtfsDevice(const std::filesystem::path& path, ByteRange range, bool writable);
  ~NtfsDevice();
  NtfsDevice(const NtfsDevice&) = delete;
  NtfsDevice& operator=(const NtfsDevice&) = delete;

  // Mounts through a device of the library, which ntfs_umount frees. nullptr and errno where it fails.
  ntfs_volume* mount(unsigned long flags);
};

}  // namespace vmferry::test
