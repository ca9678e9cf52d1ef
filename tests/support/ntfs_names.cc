// NtfsImage: names, directories, attributes and reparse points.
#include "tests/support/ntfs_library.h"

namespace vmferry::test {
namespace {

int collect(void* entries, const ntfschar* name, const int length, const int name_type, const s64,
            const MFT_REF reference, const unsigned type) {
  constexpr int dos_name = 2;
  const std::string text = utf8_name(name, static_cast<std::size_t>(length));
  if (name_type == dos_name || MREF(reference) < FILE_first_user || text == "." || text == "..") return 0;
  static_cast<std::vector<NtfsListEntry>*>(entries)->push_back({text, MREF(reference), type == NTFS_DT_DIR});
  return 0;
}

void put_u16(Bytes& bytes, std::size_t value) {
  bytes.push_back(static_cast<std::byte>(value & 0xff));
  bytes.push_back(static_cast<std::byte>(value >> 8));
}

// The data of a symbolic link or a mount point: where the two names lie, then the names, each ended with a zero.
Bytes link_data(std::string_view substitute, std::string_view print, bool symlink) {
  const NtfsName first = ntfs_name(substitute);
  const NtfsName second = ntfs_name(print);
  Bytes data;
  put_u16(data, 0);
  put_u16(data, first.size() * 2);
  put_u16(data, first.size() * 2 + 2);
  put_u16(data, second.size() * 2);
  if (symlink) {
    put_u16(data, substitute == print ? 1 : 0);  // SYMLINK_FLAG_RELATIVE
    put_u16(data, 0);
  }
  for (const NtfsName& name : {first, second}) {
    for (const ntfschar unit : name) put_u16(data, unit);
    put_u16(data, 0);
  }
  return data;
}

}  // namespace

void NtfsImage::make_directory(std::string_view path) { state_->open_or_create(path, S_IFDIR).close(path); }

bool NtfsImage::exists(std::string_view path) const { return state_->find(path) != static_cast<u64>(-1); }

std::vector<NtfsListEntry> NtfsImage::list(std::string_view path) const {
  const OpenInode directory = state_->open(path);
  std::vector<NtfsListEntry> entries;
  s64 position = 0;
  if (ntfs_readdir(directory.get(), &position, &entries, collect) != 0) fail_ntfs("cannot list", path);
  return entries;
}

void NtfsImage::remove(std::string_view path) {
  OpenInode inode = state_->open(path);
  OpenInode directory = state_->open(parent_path(path));
  const NtfsName name = ntfs_name(last_part(path));
  const std::string whole(path);
  // It closes both, whether it succeeds or not.
  if (ntfs_delete(state_->volume, whole.c_str(), inode.release(), directory.release(), name.data(),
                  static_cast<u8>(name.size())) != 0) {
    fail_ntfs("cannot remove", path);
  }
}

void NtfsImage::remove_tree(std::string_view path) {
  for (const NtfsListEntry& entry : list(path)) {
    const std::string inner = std::string(path) + "/" + entry.name;
    if (entry.directory) {
      remove_tree(inner);
    } else {
      remove(inner);
    }
  }
  remove(path);
}

void NtfsImage::hard_link(std::string_view existing, std::string_view path) {
  OpenInode inode = state_->open(existing);
  const u64 reference = inode->mft_no;
  inode.close(existing);
  OpenInode directory = state_->open_parent(path);
  inode = OpenInode(state_->volume, reference, existing);
  const NtfsName name = ntfs_name(last_part(path));
  if (ntfs_link(inode.get(), directory.get(), name.data(), static_cast<u8>(name.size())) != 0) {
    fail_ntfs("cannot link", path);
  }
  inode.close_in(directory, path);
  directory.close(parent_path(path));
}

void NtfsImage::rename(std::string_view from, std::string_view to) {
  hard_link(from, to);
  remove(from);
}

void NtfsImage::set_short_name(std::string_view path, std::string_view dos_name) {
  OpenInode inode = state_->open(path);
  OpenInode directory = state_->open(parent_path(path));
  const std::string name(dos_name);
  // It closes both.
  if (ntfs_set_ntfs_dos_name(inode.release(), directory.release(), name.c_str(), name.size(), 0) != 0) {
    fail_ntfs("cannot set the short name of", path);
  }
}

void NtfsImage::set_reparse_point(std::string_view path, std::uint32_t tag, ByteView data) {
  Bytes value;
  put_u16(value, tag & 0xffff);
  put_u16(value, tag >> 16);
  put_u16(value, data.size());
  put_u16(value, 0);
  value.insert(value.end(), data.begin(), data.end());
  OpenInode inode = state_->open(path);
  if (ntfs_set_ntfs_reparse_data(inode.get(), reinterpret_cast<const char*>(value.data()), value.size(), 0) != 0) {
    fail_ntfs("cannot set the reparse point of", path);
  }
  inode.close(path);
}

void NtfsImage::make_symlink(std::string_view path, std::string_view target, bool to_directory) {
  state_->open_or_create(path, to_directory ? S_IFDIR : S_IFREG).close(path);
  set_reparse_point(path, 0xa000000c, link_data(target, target, true));
}

void NtfsImage::make_junction(std::string_view path, std::string_view target) {
  make_directory(path);
  set_reparse_point(path, 0xa0000003, link_data("\\??\\" + std::string(target), target, false));
}

void NtfsImage::set_attributes(std::string_view path, std::uint32_t attributes) {
  constexpr std::uint32_t settable = FILE_ATTR_VALID_SET_FLAGS;
  OpenInode inode = state_->open(path);
  inode->flags = static_cast<FILE_ATTR_FLAGS>((inode->flags & ~settable) | (attributes & settable));
  NInoFileNameSetDirty(inode.get());
  ntfs_inode_mark_dirty(inode.get());
  inode.close(path);
}

std::uint32_t NtfsImage::attributes(std::string_view path) const { return state_->open(path)->flags; }

std::uint64_t ntfs_time_from_unix(std::int64_t seconds) {
  return static_cast<std::uint64_t>(seconds * 10'000'000 + NTFS_TIME_OFFSET);
}

void NtfsImage::set_times(std::string_view path, const NtfsTimes& times) {
  const u64 values[] = {times.created, times.modified, times.accessed};
  OpenInode inode = state_->open(path);
  if (ntfs_inode_set_times(inode.get(), reinterpret_cast<const char*>(values), sizeof values, 0) != 0) {
    fail_ntfs("cannot set the times of", path);
  }
  inode.close(path);
}

NtfsTimes NtfsImage::times(std::string_view path) const {
  const OpenInode inode = state_->open(path);
  u64 values[4] = {};
  if (ntfs_inode_get_times(inode.get(), reinterpret_cast<char*>(values), sizeof values) < 0) {
    fail_ntfs("cannot read the times of", path);
  }
  return {values[0], values[1], values[2], values[3]};
}

NtfsName ntfs_name(std::string_view utf8) {
  NtfsName name;
  for (std::size_t at = 0; at < utf8.size();) {
    const auto lead = static_cast<unsigned char>(utf8[at]);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (at + length > utf8.size()) throw std::runtime_error("not UTF-8: " + std::string(utf8));
    std::uint32_t point = length == 1 ? lead : lead & (0xffU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) point = (point << 6) | (static_cast<unsigned char>(utf8[at + i]) & 0x3fU);
    if (point >= 0x10000) {
      name.push_back(static_cast<ntfschar>(0xd800 + ((point - 0x10000) >> 10)));
      name.push_back(static_cast<ntfschar>(0xdc00 + ((point - 0x10000) & 0x3ff)));
    } else {
      name.push_back(static_cast<ntfschar>(point));
    }
    at += length;
  }
  if (name.size() > 255) throw std::runtime_error("a name of more than 255 UTF-16 units: " + std::string(utf8));
  return name;
}

std::string utf8_name(const ntfschar* name, std::size_t length) {
  std::string text;
  const auto put = [&](std::uint32_t value) { text += static_cast<char>(static_cast<unsigned char>(value)); };
  for (std::size_t at = 0; at < length; ++at) {
    std::uint32_t point = name[at];
    if ((point & 0xfc00) == 0xd800 && at + 1 < length && (name[at + 1] & 0xfc00) == 0xdc00) {
      point = 0x10000 + ((point & 0x3ff) << 10) + (name[++at] & 0x3ffU);
    }
    if (point < 0x80) {
      put(point);
    } else if (point < 0x800) {
      put(0xc0 | (point >> 6));
      put(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
      put(0xe0 | (point >> 12));
      put(0x80 | ((point >> 6) & 0x3f));
      put(0x80 | (point & 0x3f));
    } else {
      put(0xf0 | (point >> 18));
      put(0x80 | ((point >> 12) & 0x3f));
      put(0x80 | ((point >> 6) & 0x3f));
      put(0x80 | (point & 0x3f));
    }
  }
  return text;
}

}  // namespace vmferry::test
