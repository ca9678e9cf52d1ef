// NtfsImage::all_streams: every non-resident attribute of the volume, and the path of the file that it belongs to.
#include <cstddef>
#include <iterator>
#include <map>

#include "tests/support/ntfs_library.h"

namespace vmferry::test {
namespace {

struct FileName {
  std::uint64_t parent = 0;
  std::string name;
};

std::vector<ByteRange> clusters_of(ntfs_attr* attribute, std::uint64_t cluster_bytes) {
  std::vector<ByteRange> ranges;
  for (const runlist_element* run = attribute->rl; run != nullptr && run->length > 0; ++run) {
    if (run->lcn < 0) continue;
    const ByteRange range{static_cast<std::uint64_t>(run->lcn) * cluster_bytes,
                          static_cast<std::uint64_t>(run->length) * cluster_bytes};
    if (!ranges.empty() && ranges.back().end() == range.offset) {
      ranges.back().length += range.length;
    } else {
      ranges.push_back(range);
    }
  }
  return ranges;
}

const ntfschar* name_of(const ATTR_RECORD* attribute) {
  return reinterpret_cast<const ntfschar*>(reinterpret_cast<const char*>(attribute) + attribute->name_offset);
}

// All of one record's, with paths still empty.
class RecordStreams {
 public:
  RecordStreams(ntfs_volume* volume, const OpenInode& inode) : volume_(volume), inode_(inode) {
    ntfs_attr_search_ctx* context = ntfs_attr_get_search_ctx(inode.get(), nullptr);
    if (context == nullptr) fail_ntfs("cannot read the attributes of", std::to_string(inode->mft_no));
    std::vector<std::pair<ATTR_TYPES, NtfsName>> found;
    while (ntfs_attrs_walk(context) == 0) {
      const ATTR_RECORD* attribute = context->attr;
      if (attribute->type == AT_FILE_NAME && attribute->non_resident == 0) {
        add_name(attribute);
      } else if (attribute->non_resident != 0 && attribute->lowest_vcn == 0) {
        found.emplace_back(attribute->type, NtfsName(name_of(attribute), name_of(attribute) + attribute->name_length));
      }
    }
    ntfs_attr_put_search_ctx(context);
    for (auto& [type, attribute_name] : found) add_stream(type, attribute_name);
  }

  std::vector<NtfsStream> streams;
  FileName file_name;

 private:
  void add_name(const ATTR_RECORD* attribute) {
    const auto* value = reinterpret_cast<const FILE_NAME_ATTR*>(reinterpret_cast<const char*>(attribute) +
                                                                attribute->value_offset);
    if (value->file_name_type == FILE_NAME_DOS || !file_name.name.empty()) return;
    NtfsName units(value->file_name_length);
    std::memcpy(units.data(), reinterpret_cast<const char*>(value) + offsetof(FILE_NAME_ATTR, file_name),
                units.size() * sizeof(ntfschar));
    file_name = {MREF(value->parent_directory), utf8_name(units.data(), units.size())};
  }

  void add_stream(ATTR_TYPES type, NtfsName& name) {
    ntfs_attr* attribute =
        ntfs_attr_open(inode_.get(), type, name.empty() ? AT_UNNAMED : name.data(), static_cast<u32>(name.size()));
    if (attribute == nullptr) return;
    if (ntfs_attr_map_whole_runlist(attribute) == 0) {
      NtfsStream stream;
      stream.reference = inode_->mft_no | static_cast<std::uint64_t>(inode_->mrec->sequence_number) << 48;
      stream.type = static_cast<std::uint32_t>(type);
      stream.name = utf8_name(name.data(), name.size());
      stream.directory = (inode_->mrec->flags & MFT_RECORD_IS_DIRECTORY) != 0;
      stream.ranges = clusters_of(attribute, volume_->cluster_size);
      if (!stream.ranges.empty()) streams.push_back(std::move(stream));
    }
    ntfs_attr_close(attribute);
  }

  ntfs_volume* volume_;
  const OpenInode& inode_;
};

std::string path_of(std::uint64_t record, const std::map<std::uint64_t, FileName>& names) {
  constexpr unsigned depth_max = 256;
  std::string path;
  for (unsigned depth = 0; record != FILE_root; ++depth) {
    const auto found = names.find(record);
    if (found == names.end() || depth == depth_max) return {};
    path = "/" + found->second.name + path;
    record = found->second.parent;
  }
  return path.empty() ? "/" : path;
}

}  // namespace

std::vector<NtfsStream> NtfsImage::all_streams() const {
  ntfs_volume* volume = state_->volume;
  const auto records = static_cast<std::uint64_t>(volume->mft_na->data_size) / volume->mft_record_size;
  std::vector<NtfsStream> all;
  std::map<std::uint64_t, FileName> names;
  for (std::uint64_t record = 0; record < records; ++record) {
    ntfs_inode* opened = ntfs_inode_open(volume, record);  // fails for records that are free or another's extension
    if (opened == nullptr) continue;
    const OpenInode inode(opened);
    RecordStreams found(volume, inode);
    std::move(found.streams.begin(), found.streams.end(), std::back_inserter(all));
    names.emplace(record, std::move(found.file_name));
  }
  for (NtfsStream& stream : all) stream.path = path_of(stream.record(), names);
  return all;
}

}  // namespace vmferry::test
