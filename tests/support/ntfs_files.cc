// NtfsImage: the content of files.
#include <cstdlib>
#include <fstream>

#include "tests/support/ntfs_library.h"

namespace vmferry::test {
namespace {

constexpr std::size_t piece_bytes_max = 1 << 20;

void mark_modified(const OpenInode& inode) {
  ntfs_inode_update_times(inode.get(), static_cast<ntfs_time_update_flags>(NTFS_UPDATE_MCTIME));
}

// Clusters taken away from the allocator, which would place what is appended right after what is there.
class ClusterGuards {
 public:
  explicit ClusterGuards(ntfs_volume* volume) : volume_(volume) {}
  ~ClusterGuards() {
    for (runlist_element* runs : taken_) {
      ntfs_cluster_free_from_rl(volume_, runs);
      free(runs);
    }
  }
  ClusterGuards(const ClusterGuards&) = delete;
  ClusterGuards& operator=(const ClusterGuards&) = delete;

  void take(LCN where) {
    runlist_element* runs = ntfs_cluster_alloc(volume_, 0, 1, where, DATA_ZONE);
    if (runs != nullptr) taken_.push_back(runs);
  }

 private:
  ntfs_volume* volume_;
  std::vector<runlist_element*> taken_;
};

}  // namespace

OpenAttribute::OpenAttribute(const OpenInode& inode, std::string_view stream, std::string_view path) : path_(path) {
  NtfsName name = ntfs_name(stream);
  attribute_ =
      ntfs_attr_open(inode.get(), AT_DATA, stream.empty() ? AT_UNNAMED : name.data(), static_cast<u32>(name.size()));
  if (attribute_ == nullptr) fail_ntfs("cannot open the data of", path);
}

void OpenAttribute::write(std::uint64_t offset, ByteView content) {
  while (!content.empty()) {
    const s64 count =
        ntfs_attr_pwrite(attribute_, static_cast<s64>(offset), static_cast<s64>(content.size()), content.data());
    if (count <= 0) fail_ntfs("cannot write", path_);
    content = content.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

void OpenAttribute::truncate(std::uint64_t bytes) {
  if (ntfs_attr_truncate(attribute_, static_cast<s64>(bytes)) != 0) fail_ntfs("cannot truncate", path_);
}

Bytes OpenAttribute::read_all() {
  Bytes content(static_cast<std::size_t>(attribute_->data_size));
  for (std::size_t at = 0; at < content.size();) {
    const s64 count =
        ntfs_attr_pread(attribute_, static_cast<s64>(at), static_cast<s64>(content.size() - at), content.data() + at);
    if (count <= 0) fail_ntfs("cannot read", path_);
    at += static_cast<std::size_t>(count);
  }
  return content;
}

void NtfsImage::write_file(std::string_view path, ByteView content) {
  write_file(path, content.size(), [&](std::uint64_t offset, std::span<std::byte> piece) {
    std::memcpy(piece.data(), content.data() + offset, piece.size());
  });
}

void NtfsImage::write_file(std::string_view path, std::uint64_t bytes,
                           const std::function<void(std::uint64_t offset, std::span<std::byte> piece)>& fill) {
  OpenInode inode = state_->open_or_create(path, S_IFREG);
  {
    OpenAttribute data(inode, {}, path);
    if (data->data_size != 0) data.truncate(0);
    Bytes buffer(std::min<std::uint64_t>(bytes, piece_bytes_max));
    for (std::uint64_t at = 0; at < bytes;) {
      const auto piece = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), bytes - at));
      fill(at, piece);
      data.write(at, piece);
      at += piece.size();
    }
  }
  mark_modified(inode);
  inode.close(path);
}

void NtfsImage::copy_from_host(const std::filesystem::path& source, std::string_view path) {
  std::ifstream input(source, std::ios::binary);
  if (!input) throw std::runtime_error("cannot read " + source.string());
  write_file(path, std::filesystem::file_size(source), [&](std::uint64_t, std::span<std::byte> piece) {
    if (!input.read(reinterpret_cast<char*>(piece.data()), static_cast<std::streamsize>(piece.size()))) {
      throw std::runtime_error("cannot read " + source.string());
    }
  });
  struct stat status {};
  if (stat(source.c_str(), &status) == 0) {
    const std::uint64_t modified = ntfs_time_from_unix(status.st_mtime);
    set_times(path, {modified, modified, modified});
  }
}

void NtfsImage::overwrite(std::string_view path, std::uint64_t offset, ByteView content) {
  OpenInode inode = state_->open(path);
  {
    OpenAttribute data(inode, {}, path);
    data.write(offset, content);
    if ((data->data_flags & ATTR_COMPRESSION_MASK) != 0 && ntfs_attr_pclose(data.get()) != 0) {
      fail_ntfs("cannot compress the end of", path);
    }
  }
  mark_modified(inode);
  inode.close(path);
}

void NtfsImage::append(std::string_view path, ByteView content) { overwrite(path, file_bytes(path), content); }

void NtfsImage::truncate(std::string_view path, std::uint64_t bytes) {
  OpenInode inode = state_->open(path);
  OpenAttribute(inode, {}, path).truncate(bytes);
  mark_modified(inode);
  inode.close(path);
}

Bytes NtfsImage::read_file(std::string_view path) const { return read_stream(path, {}); }

Bytes NtfsImage::read_stream(std::string_view path, std::string_view stream) const {
  const OpenInode inode = state_->open(path);
  return OpenAttribute(inode, stream, path).read_all();
}

std::uint64_t NtfsImage::file_bytes(std::string_view path) const {
  const OpenInode inode = state_->open(path);
  return static_cast<std::uint64_t>(OpenAttribute(inode, {}, path)->data_size);
}

void NtfsImage::write_fragmented(std::string_view path, ByteView content, std::size_t piece_bytes) {
  write_interleaved({{std::string(path), Bytes(content.begin(), content.end())}}, piece_bytes);
}

void NtfsImage::write_interleaved(const std::vector<std::pair<std::string, Bytes>>& files, std::size_t piece_bytes) {
  const std::size_t step = checked_round_up<std::size_t>(piece_bytes, cluster_bytes(), "a piece");
  std::size_t longest = 0;
  for (const auto& [path, content] : files) {
    write_file(path, ByteView{});
    longest = std::max(longest, content.size());
  }
  ClusterGuards guards(state_->volume);
  for (std::size_t at = 0; at < longest; at += step) {
    for (const auto& [path, content] : files) {
      if (at >= content.size()) continue;
      overwrite(path, at, ByteView(content).subspan(at, std::min(step, content.size() - at)));
      const std::vector<NtfsRun> written = runs(path);
      if (!written.empty()) guards.take(written.back().lcn + static_cast<LCN>(written.back().clusters));
    }
  }
}

void NtfsImage::write_sparse(std::string_view path, std::uint64_t bytes,
                             const std::vector<std::pair<std::uint64_t, Bytes>>& pieces) {
  write_file(path, ByteView{});
  OpenInode inode = state_->open(path);
  {
    OpenAttribute data(inode, {}, path);
    data.truncate(bytes);
    for (const auto& [offset, content] : pieces) data.write(offset, content);
  }
  inode.close(path);
}

void NtfsImage::write_compressed(std::string_view path, ByteView content) {
  if (state_->volume->cluster_size > 4096)
    throw std::runtime_error("NTFS compresses only clusters of at most 4096 bytes");
  write_file(path, ByteView{});
  OpenInode inode = state_->open(path);
  inode->flags = static_cast<FILE_ATTR_FLAGS>(inode->flags | FILE_ATTR_COMPRESSED);
  NInoFileNameSetDirty(inode.get());
  ntfs_inode_mark_dirty(inode.get());
  {
    OpenAttribute data(inode, {}, path);
    data.write(0, content);
    if (ntfs_attr_pclose(data.get()) != 0) fail_ntfs("cannot compress the end of", path);
  }
  inode.close(path);
}

void NtfsImage::write_stream(std::string_view path, std::string_view stream, ByteView content) {
  OpenInode inode = state_->open(path);
  NtfsName name = ntfs_name(stream);
  if (ntfs_attr_exist(inode.get(), AT_DATA, name.data(), static_cast<u32>(name.size())) == 0 &&
      ntfs_attr_add(inode.get(), AT_DATA, name.data(), static_cast<u8>(name.size()), nullptr, 0) != 0) {
    fail_ntfs("cannot add a stream to", path);
  }
  {
    OpenAttribute data(inode, stream, path);
    if (data->data_size != 0) data.truncate(0);
    data.write(0, content);
  }
  inode.close(path);
}

}  // namespace vmferry::test
