#include "engine/crack/ntfs/ntfs3g_volume.h"

#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "engine/crack/ntfs/special_files.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

// libntfs-3g's headers ask what the system has, and define macros that C++ trips over.
#define HAVE_TIME_H 1
#define HAVE_CLOCK_GETTIME 1
#define HAVE_SYS_STAT_H 1
#define HAVE_STDINT_H 1
#define HAVE_ERRNO_H 1
extern "C" {
#include <ntfs-3g/attrib.h>
#include <ntfs-3g/cache.h>
#include <ntfs-3g/device.h>
#include <ntfs-3g/dir.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/logging.h>
#include <ntfs-3g/volume.h>
}
#undef min
#undef max

namespace vmferry::crack {
namespace {

// What a device's operations reach: our reader, and the range to serve from $MFT.
struct Device {
  VolumeReader& volume;
  Mft& mft;
  std::uint64_t mirror_begin = 0, mirror_end = 0;
  std::uint64_t position = 0;
  bool out_of_memory = false;
};

Device& device_of(ntfs_device* device) { return *static_cast<Device*>(device->d_private); }

void read_around_mirror(Device& device, std::uint64_t offset, std::span<std::byte> into) {
  while (!into.empty()) {
    const bool mirrored = offset >= device.mirror_begin && offset < device.mirror_end;
    std::uint64_t part = into.size();
    if (mirrored) {
      part = std::min(part, device.mirror_end - offset);
      device.mft.bytes().read(offset - device.mirror_begin, into.first(part));
    } else {
      if (offset < device.mirror_begin) part = std::min(part, device.mirror_begin - offset);
      device.volume.read(offset, into.first(part));
    }
    offset += part;
    into = into.subspan(part);
  }
}

// Nothing may be thrown through libntfs-3g's frames.
s64 device_pread(ntfs_device* raw, void* buffer, s64 count, s64 offset) {
  Device& device = device_of(raw);
  if (offset < 0 || count < 0) {
    errno = EINVAL;
    return -1;
  }
  const std::uint64_t size = device.volume.size_bytes();
  if (static_cast<std::uint64_t>(offset) >= size) return 0;
  const std::uint64_t there = std::min(static_cast<std::uint64_t>(count), size - static_cast<std::uint64_t>(offset));
  try {
    read_around_mirror(device, static_cast<std::uint64_t>(offset), {static_cast<std::byte*>(buffer), there});
    return static_cast<s64>(there);
  } catch (...) {
    errno = EIO;
    return -1;
  }
}

int device_open(ntfs_device* device, int) {
  NDevSetOpen(device);
  NDevSetReadOnly(device);
  return 0;
}

int device_close(ntfs_device* device) {
  NDevClearOpen(device);
  return 0;
}

s64 device_seek(ntfs_device* raw, s64 offset, int whence) {
  Device& device = device_of(raw);
  const s64 base = whence == SEEK_SET ? 0
                   : whence == SEEK_CUR ? static_cast<s64>(device.position)
                                        : static_cast<s64>(device.volume.size_bytes());
  s64 target;
  if (__builtin_add_overflow(base, offset, &target) || target < 0) {
    errno = EINVAL;
    return -1;
  }
  device.position = static_cast<std::uint64_t>(target);
  return target;
}

s64 device_read(ntfs_device* raw, void* buffer, s64 count) {
  const s64 got = device_pread(raw, buffer, count, static_cast<s64>(device_of(raw).position));
  if (got > 0) device_of(raw).position += static_cast<std::uint64_t>(got);
  return got;
}

s64 refuse_write(ntfs_device*, const void*, s64) {
  errno = EROFS;
  return -1;
}

s64 refuse_pwrite(ntfs_device*, const void*, s64, s64) {
  errno = EROFS;
  return -1;
}

int device_sync(ntfs_device*) { return 0; }

int device_stat(ntfs_device* raw, struct stat* into) {
  *into = {};
  into->st_mode = S_IFREG | 0400;
  into->st_size = static_cast<off_t>(device_of(raw).volume.size_bytes());
  return 0;
}

int refuse_ioctl(ntfs_device*, unsigned long, void*) {
  errno = EOPNOTSUPP;
  return -1;
}

ntfs_device_operations operations = {
    .open = device_open,
    .close = device_close,
    .seek = device_seek,
    .read = device_read,
    .write = refuse_write,
    .pread = device_pread,
    .pwrite = refuse_pwrite,
    .sync = device_sync,
    .stat = device_stat,
    .ioctl = refuse_ioctl,
};

using InodePointer = std::unique_ptr<ntfs_inode, int (*)(ntfs_inode*)>;

InodePointer own(ntfs_inode* inode) { return {inode, &ntfs_inode_close}; }

[[noreturn]] void reject(const std::string& what, int error_number) {
  if (error_number == ENOMEM) throw std::bad_alloc();
  throw Error(ErrorCode::malformed, what, {}, std::strerror(error_number));
}

// Calls `use` for each name of a directory.
struct DirectoryVisit {
  const std::function<void(std::u16string_view)>& use;
};

int visit_entry(void* context, const ntfschar* name, const int length, const int, const s64, const MFT_REF, const unsigned) {
  static_cast<DirectoryVisit*>(context)->use({reinterpret_cast<const char16_t*>(name), static_cast<std::size_t>(length)});
  return 0;
}

}  // namespace

struct Ntfs3gVolume::State {
  Device device;
  ntfs_volume* volume = nullptr;

  // nullptr where there is none; throws where the directory cannot be read.
  InodePointer in_root(const char* name) {
    ntfs_inode* inode = ntfs_pathname_to_inode(volume, nullptr, name);
    if (inode == nullptr && errno != ENOENT) reject("cannot look into the root directory", errno);
    return own(inode);
  }
};

Ntfs3gVolume::Ntfs3gVolume(VolumeReader& volume, Mft& mft)
    : state_(std::make_unique<State>(State{Device{volume, mft}})) {
  ntfs_log_set_handler(ntfs_log_handler_null);
  const BootSector& boot = mft.boot();
  Device& device = state_->device;
  device.mirror_begin = boot.mft_mirror_lcn * boot.cluster_bytes;
  // As many records as libntfs-3g compares.
  const std::uint64_t compared = std::max<std::uint64_t>(4 * std::uint64_t{boot.mft_record_bytes}, boot.cluster_bytes);
  device.mirror_end = device.mirror_begin + std::min(compared, mft.bytes().size_bytes());
  ntfs_device* raw = ntfs_device_alloc("volume", 0, &operations, &device);
  if (raw == nullptr) throw std::bad_alloc();
  state_->volume = ntfs_device_mount(raw, NTFS_MNT_RDONLY | NTFS_MNT_FORENSIC);
  if (state_->volume == nullptr) {
    const int error_number = errno;
    ntfs_device_free(raw);
    reject("cannot crack the volume: libntfs-3g does not mount it", error_number);
  }
  ntfs_create_lru_caches(state_->volume);
  ntfs_set_ignore_case(state_->volume);
}

Ntfs3gVolume::~Ntfs3gVolume() { ntfs_umount(state_->volume, FALSE); }

Ntfs3gVolume::Hiberfile Ntfs3gVolume::hiberfile() {
  const InodePointer inode = state_->in_root("hiberfil.sys");
  if (!inode) return Hiberfile::absent;
  ntfs_attr* attribute = ntfs_attr_open(inode.get(), AT_DATA, AT_UNNAMED, 0);
  if (attribute == nullptr) reject("cannot read hiberfil.sys", errno);
  Bytes header(4096);
  const s64 got = ntfs_attr_pread(attribute, 0, static_cast<s64>(header.size()), header.data());
  const int error_number = errno;
  ntfs_attr_close(attribute);
  if (got < 0) reject("cannot read hiberfil.sys", error_number);
  const ByteView there = ByteView(header).first(static_cast<std::size_t>(got));
  return hiberfile_says_asleep(there) ? Hiberfile::asleep : Hiberfile::awake;
}

bool Ntfs3gVolume::has_shadow_copies() {
  const InodePointer directory = state_->in_root("System Volume Information");
  if (!directory) return false;
  bool found = false;
  const std::function<void(std::u16string_view)> look = [&](std::u16string_view name) { found |= is_shadow_store_name(name); };
  DirectoryVisit visit{look};
  s64 position = 0;
  if (ntfs_readdir(directory.get(), &position, &visit, &visit_entry) != 0) reject("cannot list System Volume Information", errno);
  return found;
}

struct Ntfs3gVolume::File::State {
  InodePointer inode{nullptr, &ntfs_inode_close};
  std::map<std::u16string, ntfs_attr*, std::less<>> streams;
  ~State() {
    for (const auto& [name, attribute] : streams) ntfs_attr_close(attribute);
  }
};

Ntfs3gVolume::File::File(std::unique_ptr<State> state) : state_(std::move(state)) {}
Ntfs3gVolume::File::File(File&&) noexcept = default;
Ntfs3gVolume::File::~File() = default;

Ntfs3gVolume::File Ntfs3gVolume::open(MftReference reference) {
  auto state = std::make_unique<File::State>();
  state->inode = own(ntfs_inode_open(state_->volume, reference));
  if (!state->inode) reject("cannot open MFT record " + std::to_string(mft_record_number(reference)), errno);
  return File(std::move(state));
}

std::size_t Ntfs3gVolume::File::read(std::u16string_view stream, std::uint64_t offset, std::span<std::byte> into) {
  auto found = state_->streams.find(stream);
  if (found == state_->streams.end()) {
    std::u16string name(stream);
    ntfs_attr* attribute =
        ntfs_attr_open(state_->inode.get(), AT_DATA, name.empty() ? AT_UNNAMED : reinterpret_cast<ntfschar*>(name.data()),
                       static_cast<u32>(name.size()));
    if (attribute == nullptr) reject("cannot open a stream", errno);
    found = state_->streams.emplace(std::move(name), attribute).first;
  }
  const s64 got = ntfs_attr_pread(found->second, static_cast<s64>(offset), static_cast<s64>(into.size()), into.data());
  if (got < 0) reject("cannot read a stream", errno);
  return static_cast<std::size_t>(got);
}

Bytes Ntfs3gVolume::File::reparse_point(std::uint64_t bytes_max) {
  ntfs_attr* attribute = ntfs_attr_open(state_->inode.get(), AT_REPARSE_POINT, AT_UNNAMED, 0);
  if (attribute == nullptr) reject("cannot open a reparse point", errno);
  const std::unique_ptr<ntfs_attr, decltype(&ntfs_attr_close)> closer(attribute, &ntfs_attr_close);
  const std::uint64_t bytes = static_cast<std::uint64_t>(std::max<s64>(attribute->data_size, 0));
  if (bytes > bytes_max) reject("a reparse point is too long", EFBIG);
  Bytes value(static_cast<std::size_t>(bytes));
  if (ntfs_attr_pread(attribute, 0, static_cast<s64>(bytes), value.data()) != static_cast<s64>(bytes)) {
    reject("cannot read a reparse point", EIO);
  }
  return value;
}

}  // namespace vmferry::crack
