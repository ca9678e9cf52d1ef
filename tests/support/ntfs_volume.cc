// NtfsImage: the volume as a whole, and what judges need to know of it.
#include <cstdlib>

#include "tests/support/content.h"
#include "tests/support/ntfs_library.h"

namespace vmferry::test {
namespace {

void write_system_file(NtfsImage& image, const char* path, std::uint64_t bytes, std::uint64_t seed,
                       std::string_view header) {
  image.write_file(path, bytes, [&](std::uint64_t offset, std::span<std::byte> piece) {
    const Bytes content = random_bytes(seed + offset, piece.size());
    std::memcpy(piece.data(), content.data(), piece.size());
    if (offset == 0)
      std::copy_n(header.data(), std::min(header.size(), piece.size()), reinterpret_cast<char*>(piece.data()));
  });
  image.set_attributes(path, ntfs_hidden | ntfs_system | ntfs_archive);
}

// As much of the disk as `from` names, one run after another, into the clusters of `to`.
void copy_clusters(ntfs_volume* volume, const runlist_element* from, const runlist_element* to) {
  const s64 cluster = volume->cluster_size;
  Bytes buffer(static_cast<std::size_t>(cluster));
  s64 done = 0;
  for (; from->length > 0; ++from) {
    for (s64 i = 0; i < from->length; ++i, ++done) {
      while (done == to->length) {
        ++to;
        done = 0;
      }
      if (ntfs_pread(volume->dev, (from->lcn + i) * cluster, cluster, buffer.data()) != cluster ||
          ntfs_pwrite(volume->dev, (to->lcn + done) * cluster, cluster, buffer.data()) != cluster) {
        fail_ntfs("cannot move", "a cluster");
      }
    }
  }
}

}  // namespace

bool NtfsImage::move_clusters(std::string_view path) {
  OpenInode inode = state_->open(path);
  {
    OpenAttribute data(inode, {}, path);
    if (!NAttrNonResident(data.get()) || (data->data_flags & ATTR_COMPRESSION_MASK) != 0) return false;
    if (ntfs_attr_map_whole_runlist(data.get()) != 0) fail_ntfs("cannot read the runs of", path);
    s64 clusters = 0;
    for (const runlist_element* run = data->rl; run->length > 0; ++run) {
      if (run->lcn < 0) return false;
      clusters += run->length;
    }
    if (clusters == 0) return false;
    runlist_element* moved = ntfs_cluster_alloc(state_->volume, 0, clusters, -1, DATA_ZONE);
    if (moved == nullptr) fail_ntfs("no room to move", path);
    copy_clusters(state_->volume, data->rl, moved);
    runlist_element* former = std::exchange(data->rl, moved);
    if (ntfs_attr_update_mapping_pairs(data.get(), 0) != 0) fail_ntfs("cannot note the new place of", path);
    ntfs_cluster_free_from_rl(state_->volume, former);
    free(former);
  }
  inode.close(path);
  return true;
}

void NtfsImage::write_pagefile(std::uint64_t bytes, std::uint64_t seed) {
  write_system_file(*this, "/pagefile.sys", bytes, seed, {});
}

void NtfsImage::write_swapfile(std::uint64_t bytes, std::uint64_t seed) {
  write_system_file(*this, "/swapfile.sys", bytes, seed, {});
}

void NtfsImage::write_hiberfile(std::uint64_t bytes, std::uint64_t seed, bool hibernated) {
  // Windows zeroes the first page after it resumed.
  static constexpr char zeros[4096] = {};
  write_system_file(*this, "/hiberfil.sys", bytes, seed, hibernated ? "hibr" : std::string_view(zeros, sizeof zeros));
}

void NtfsImage::dirty_free_space(double share, std::uint64_t seed) {
  constexpr std::string_view path = "/vmferry-garbage.tmp";
  // A little stays free: the file's own records and runs need clusters too.
  const std::uint64_t bytes = static_cast<std::uint64_t>(static_cast<double>(free_bytes()) * std::min(share, 0.99));
  write_file(path, bytes, [&](std::uint64_t offset, std::span<std::byte> piece) {
    const Bytes content = random_bytes(seed + offset, piece.size());
    std::memcpy(piece.data(), content.data(), piece.size());
  });
  remove(path);
}

void NtfsImage::set_dirty() {
  if (ntfs_volume_write_flags(state_->volume, static_cast<le16>(state_->volume->flags | VOLUME_IS_DIRTY)) != 0) {
    fail_ntfs("cannot set the dirty flag of", "the volume");
  }
}

void NtfsImage::write_log_file(std::uint64_t offset, ByteView content) {
  OpenInode inode(state_->volume, FILE_LogFile, "$LogFile");
  {
    OpenAttribute data(inode, {}, "$LogFile");
    if (offset + content.size() > static_cast<std::uint64_t>(data->data_size)) {
      throw std::runtime_error("more than $LogFile holds");
    }
    data.write(offset, content);
  }
  inode.close("$LogFile");
}

std::uint64_t NtfsImage::log_file_bytes() const {
  const OpenInode inode(state_->volume, FILE_LogFile, "$LogFile");
  return static_cast<std::uint64_t>(OpenAttribute(inode, {}, "$LogFile")->data_size);
}

std::uint32_t NtfsImage::cluster_bytes() const { return state_->volume->cluster_size; }
std::uint64_t NtfsImage::cluster_count() const { return static_cast<std::uint64_t>(state_->volume->nr_clusters); }

std::uint64_t NtfsImage::free_bytes() const {
  std::uint64_t bytes = 0;
  for (const ByteRange& range : free_ranges()) bytes += range.length;
  return bytes;
}

std::uint64_t NtfsImage::record_number(std::string_view path) const { return state_->open(path)->mft_no; }

std::vector<NtfsRun> NtfsImage::runs(std::string_view path, std::string_view stream) const {
  const OpenInode inode = state_->open(path);
  OpenAttribute data(inode, stream, path);
  std::vector<NtfsRun> runs;
  if (!NAttrNonResident(data.get())) return runs;
  if (ntfs_attr_map_whole_runlist(data.get()) != 0) fail_ntfs("cannot read the runs of", path);
  for (const runlist_element* element = data->rl; element != nullptr && element->length > 0; ++element) {
    const auto lcn = element->lcn >= 0 ? element->lcn : NtfsRun::hole;
    runs.push_back({lcn, static_cast<std::uint64_t>(element->length)});
  }
  return runs;
}

std::vector<ByteRange> NtfsImage::ranges(std::string_view path, std::string_view stream) const {
  std::vector<ByteRange> ranges;
  for (const NtfsRun& run : runs(path, stream)) {
    if (run.lcn == NtfsRun::hole) continue;
    ranges.push_back({static_cast<std::uint64_t>(run.lcn) * cluster_bytes(), run.clusters * cluster_bytes()});
  }
  return ranges;
}

std::vector<ByteRange> NtfsImage::free_ranges() const {
  ntfs_attr* bitmap = state_->volume->lcnbmp_na;
  Bytes bits(static_cast<std::size_t>(bitmap->data_size));
  if (ntfs_attr_pread(bitmap, 0, bitmap->data_size, bits.data()) != bitmap->data_size)
    fail_ntfs("cannot read", "$Bitmap");
  std::vector<ByteRange> ranges;
  const std::uint64_t cluster = cluster_bytes();
  for (std::uint64_t lcn = 0; lcn < cluster_count(); ++lcn) {
    if ((bits[lcn / 8] & (std::byte{1} << (lcn % 8))) != std::byte{}) continue;
    if (!ranges.empty() && ranges.back().end() == lcn * cluster) {
      ranges.back().length += cluster;
    } else {
      ranges.push_back({lcn * cluster, cluster});
    }
  }
  return ranges;
}

}  // namespace vmferry::test
