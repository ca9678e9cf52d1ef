#include "tests/support/ntfs_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <unistd.h>

namespace vmferry::test {
namespace {

NtfsDevice& of(struct ntfs_device* device) { return *static_cast<NtfsDevice*>(device->d_private); }

int device_open(struct ntfs_device* device, int flags) {
  NDevSetOpen(device);
  if ((flags & O_RDWR) == 0) NDevSetReadOnly(device);
  return 0;
}

int device_close(struct ntfs_device* device) {
  NDevClearOpen(device);
  return 0;
}

s64 device_pread(struct ntfs_device* device, void* buffer, s64 count, s64 offset) {
  const NtfsDevice& self = of(device);
  if (offset < 0 || count < 0) {
    errno = EINVAL;
    return -1;
  }
  const auto at = static_cast<std::uint64_t>(offset);
  if (at >= self.where.length) return 0;
  const auto length = std::min(static_cast<std::uint64_t>(count), self.where.length - at);
  return pread(self.file, buffer, length, static_cast<off_t>(self.where.offset + at));
}

s64 device_pwrite(struct ntfs_device* device, const void* buffer, s64 count, s64 offset) {
  const NtfsDevice& self = of(device);
  if (NDevReadOnly(device)) {
    errno = EROFS;
    return -1;
  }
  if (offset < 0 || count < 0 ||
      !range_fits(static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(count), self.where.length)) {
    errno = ENOSPC;
    return -1;
  }
  NDevSetDirty(device);
  return pwrite(self.file, buffer, static_cast<std::size_t>(count),
                static_cast<off_t>(self.where.offset + static_cast<std::uint64_t>(offset)));
}

s64 device_seek(struct ntfs_device* device, s64 offset, int whence) {
  NtfsDevice& self = of(device);
  const s64 base = whence == SEEK_SET ? 0 : static_cast<s64>(whence == SEEK_CUR ? self.position : self.where.length);
  if (base + offset < 0) {
    errno = EINVAL;
    return -1;
  }
  self.position = static_cast<std::uint64_t>(base + offset);
  return base + offset;
}

s64 device_read(struct ntfs_device* device, void* buffer, s64 count) {
  const s64 got = device_pread(device, buffer, count, static_cast<s64>(of(device).position));
  if (got > 0) of(device).position += static_cast<std::uint64_t>(got);
  return got;
}

s64 device_write(struct ntfs_device* device, const void* buffer, s64 count) {
  const s64 done = device_pwrite(device, buffer, count, static_cast<s64>(of(device).position));
  if (done > 0) of(device).position += static_cast<std::uint64_t>(done);
  return done;
}

int device_sync(struct ntfs_device* device) {
  NDevClearDirty(device);  // no power is lost in a test
  return 0;
}

int device_stat(struct ntfs_device* device, struct stat* buffer) { return fstat(of(device).file, buffer); }

int device_ioctl(struct ntfs_device* device, unsigned long request, void* argument) {
  if (request == BLKGETSIZE64) {
    const std::uint64_t bytes = of(device).where.length;
    std::memcpy(argument, &bytes, sizeof bytes);
    return 0;
  }
  errno = EOPNOTSUPP;
  return -1;
}

ntfs_device_operations operations = {device_open,  device_close,  device_seek, device_read, device_write,
                                     device_pread, device_pwrite, device_sync, device_stat, device_ioctl};

}  // namespace

NtfsDevice::NtfsDevice(const std::filesystem::path& path, ByteRange range, bool writable)
    : file(::open(path.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC)), where(range) {
  if (file < 0) fail_ntfs("cannot open", path.string());
}

NtfsDevice::~NtfsDevice() { ::close(file); }

ntfs_volume* NtfsDevice::mount(unsigned long flags) {
  struct ntfs_device* device = ntfs_device_alloc("test image", 0, &operations, this);
  if (device == nullptr) return nullptr;
  ntfs_volume* volume = ntfs_device_mount(device, flags);
  if (volume == nullptr) {
    const int reason = errno;
    ntfs_device_free(device);
    errno = reason;
    return nullptr;
  }
  ntfs_create_lru_caches(volume);
  return volume;
}

}  // namespace vmferry::test
