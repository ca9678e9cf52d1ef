#include "tests/support/ntfs_image.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/support/ntfs_device.h"
#include "tests/support/process.h"
#include "tests/support/sparse_file.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::test {

void NtfsImage::format(const std::filesystem::path& file, std::uint64_t bytes, const NtfsFormat& how) {
  create_sparse_file(file, bytes);
  run_ok({"mkntfs", "-q", "-F", "-Q", "-T", "-p", "0", "-H", "16", "-S", "63", "-s", std::to_string(how.sector_bytes),
          "-c", std::to_string(how.cluster_bytes), "-L", how.label, file.string(),
          std::to_string(bytes / how.sector_bytes)});
}

void NtfsImage::format_range(const std::filesystem::path& disk, ByteRange where, const NtfsFormat& how) {
  // mkntfs takes a whole file; beside the disk, where there is room for it (it stays almost empty).
  const std::filesystem::path part = disk.string() + ".part";
  format(part, where.length, how);
  copy_data_into(part, disk, where.offset);
  std::filesystem::remove(part);
}

NtfsImage::NtfsImage(const std::filesystem::path& file, NtfsAccess access)
    : NtfsImage(file, {0, std::filesystem::file_size(file)}, access) {}

NtfsImage::NtfsImage(const std::filesystem::path& disk, ByteRange where, NtfsAccess access)
    : state_(std::make_unique<State>(disk, where, access)) {}

NtfsImage::~NtfsImage() = default;
NtfsImage::NtfsImage(NtfsImage&&) noexcept = default;
NtfsImage& NtfsImage::operator=(NtfsImage&&) noexcept = default;

void NtfsImage::close() {
  if (state_ == nullptr) return;
  state_->unmount();
  state_.reset();
}

NtfsImage::State::State(const std::filesystem::path& disk, ByteRange where, NtfsAccess access)
    : device(std::make_unique<NtfsDevice>(disk, where, access == NtfsAccess::read_write)) {
  volume =
      device->mount(access == NtfsAccess::read_write ? NTFS_MNT_IGNORE_HIBERFILE : NTFS_MNT_RDONLY | NTFS_MNT_FORENSIC);
  if (volume == nullptr) fail_ntfs("cannot mount", disk.string());
  NVolSetShowSysFiles(volume);
  NVolSetShowHidFiles(volume);
  ntfs_volume_get_free_space(volume);
  if (volume->cluster_size <= 4096) NVolSetCompression(volume);
}

NtfsImage::State::~State() {
  if (volume != nullptr) ntfs_umount(volume, FALSE);
}

void NtfsImage::State::unmount() {
  if (ntfs_umount(std::exchange(volume, nullptr), FALSE) != 0) fail_ntfs("cannot unmount", "the image");
}

namespace {

// An exact match wins; the library looks one way or the other.
u64 look_up(ntfs_volume* volume, const OpenInode& directory, const NtfsName& name) {
  NVolSetCaseSensitive(volume);
  const u64 exact = ntfs_inode_lookup_by_name(directory.get(), name.data(), static_cast<int>(name.size()));
  if (exact != static_cast<u64>(-1)) return exact;
  NVolClearCaseSensitive(volume);
  const u64 similar = ntfs_inode_lookup_by_name(directory.get(), name.data(), static_cast<int>(name.size()));
  NVolSetCaseSensitive(volume);
  return similar;
}

}  // namespace

u64 NtfsImage::State::find(std::string_view path) const {
  u64 reference = FILE_root;
  for (const std::string_view part : path_parts(path)) {
    const OpenInode directory(volume, reference, path);
    reference = look_up(volume, directory, ntfs_name(part));
    if (reference == static_cast<u64>(-1)) return reference;
    reference = MREF(reference);
  }
  return reference;
}

OpenInode NtfsImage::State::open(std::string_view path) const {
  const u64 reference = find(path);
  if (reference == static_cast<u64>(-1)) {
    errno = ENOENT;
    fail_ntfs("cannot open", path);
  }
  return OpenInode(volume, reference, path);
}

OpenInode NtfsImage::State::open_parent(std::string_view path) const {
  return open_or_create(parent_path(path), S_IFDIR);
}

OpenInode NtfsImage::State::open_or_create(std::string_view path, mode_t type) const {
  if (find(path) == static_cast<u64>(-1)) create(path, type);
  return open(path);
}

void NtfsImage::State::create(std::string_view path, mode_t type) const {
  OpenInode directory = open_parent(path);
  const NtfsName name = ntfs_name(last_part(path));
  OpenInode created(ntfs_create(directory.get(), 0, name.data(), static_cast<u8>(name.size()), type));
  if (created.get() == nullptr) fail_ntfs("cannot create", path);
  created.close_in(directory, path);
  directory.close(parent_path(path));
}

std::vector<std::string_view> path_parts(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0) parts.push_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

std::string_view parent_path(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

std::string_view last_part(std::string_view path) {
  const auto parts = path_parts(path);
  if (parts.empty()) throw std::runtime_error("a path without a name: " + std::string(path));
  return parts.back();
}

OpenInode::OpenInode(ntfs_volume* volume, u64 reference, std::string_view path)
    : inode_(ntfs_inode_open(volume, reference)) {
  if (inode_ == nullptr) fail_ntfs("cannot open", path);
}

void fail_ntfs(const std::string& what, std::string_view path) {
  throw std::runtime_error(what + " " + std::string(path) + ": " + std::strerror(errno));
}

}  // namespace vmferry::test
