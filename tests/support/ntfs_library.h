// The only place of the test support that includes libntfs-3g: its headers as C++ takes them, and what the parts
// of NtfsImage share. Private to tests/support/ntfs_*.cc.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <utility>

#include "tests/support/ntfs_image.h"

extern "C" {
#include <ntfs-3g/types.h>
#include <ntfs-3g/attrib.h>
#include <ntfs-3g/device.h>
#include <ntfs-3g/dir.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/layout.h>
#include <ntfs-3g/lcnalloc.h>
#include <ntfs-3g/ntfstime.h>
#include <ntfs-3g/reparse.h>
#include <ntfs-3g/cache.h>
#include <ntfs-3g/volume.h>
}
#undef min  // the library's macros
#undef max

namespace vmferry::test {

using NtfsName = std::vector<ntfschar>;

[[noreturn]] void fail_ntfs(const std::string& what, std::string_view path);
NtfsName ntfs_name(std::string_view utf8);
std::string utf8_name(const ntfschar* name, std::size_t length);

// One open inode. close() reports what the destructor cannot. Never open one twice at a time, nor look a path up
// through an open directory: the library's cache would keep what the inode was before it was changed.
class OpenInode {
 public:
  OpenInode(ntfs_volume* volume, u64 reference, std::string_view path);
  explicit OpenInode(ntfs_inode* inode) : inode_(inode) {}
  ~OpenInode() {
    if (inode_ != nullptr) ntfs_inode_close(inode_);
  }
  OpenInode(OpenInode&& other) noexcept : inode_(std::exchange(other.inode_, nullptr)) {}
  OpenInode& operator=(OpenInode&& other) noexcept {
    std::swap(inode_, other.inode_);
    return *this;
  }

  ntfs_inode* get() const { return inode_; }
  ntfs_inode* operator->() const { return inode_; }
  ntfs_inode* release() { return std::exchange(inode_, nullptr); }
  void close(std::string_view path) {
    if (ntfs_inode_close(release()) != 0) fail_ntfs("cannot close", path);
  }
  // While its directory is open too: the library would open that a second time otherwise.
  void close_in(const OpenInode& directory, std::string_view path) {
    if (ntfs_inode_close_in_dir(release(), directory.get()) != 0) fail_ntfs("cannot close", path);
  }

 private:
  ntfs_inode* inode_;
};

// One open attribute of an open inode.
class OpenAttribute {
 public:
  OpenAttribute(const OpenInode& inode, std::string_view stream, std::string_view path);
  ~OpenAttribute() { ntfs_attr_close(attribute_); }
  OpenAttribute(const OpenAttribute&) = delete;
  OpenAttribute& operator=(const OpenAttribute&) = delete;

  ntfs_attr* operator->() const { return attribute_; }
  ntfs_attr* get() const { return attribute_; }
  void write(std::uint64_t offset, ByteView content);
  void truncate(std::uint64_t bytes);
  Bytes read_all();

 private:
  ntfs_attr* attribute_;
  std::string path_;
};

struct NtfsDevice;  // a range of a file as libntfs-3g's device

struct NtfsImage::State {
  std::unique_ptr<NtfsDevice> device;
  ntfs_volume* volume = nullptr;

  State(const std::filesystem::path& disk, ByteRange where, NtfsAccess access);
  ~State();
  void unmount();

  // (u64)-1 where it does not exist.
  u64 find(std::string_view path) const;
  OpenInode open(std::string_view path) const;
  // The directory that holds the path's last part, made where it is missing.
  OpenInode open_parent(std::string_view path) const;
  OpenInode open_or_create(std::string_view path, mode_t type) const;
  void create(std::string_view path, mode_t type) const;
};

std::vector<std::string_view> path_parts(std::string_view path);
std::string_view parent_path(std::string_view path);
std::string_view last_part(std::string_view path);

}  // namespace vmferry::test
