#include "engine/restore/volume_index.h"

#include <unordered_set>

#include "engine/restore/output_names.h"
#include "engine/restore/tree_sweep.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::restore {
namespace {

const PointVolume& cracked(const VolumeRow& row) {
  if (!row.volume->cracked)
    throw Error(ErrorCode::unsupported, "the files of this volume are not known", row.name,
                "it was backed up as it is, not as NTFS: restore the whole disk");
  return *row.volume;
}

}  // namespace

VolumeIndex::VolumeIndex(const VolumeRow& row, ChunkSource& chunks, std::size_t cache_bytes)
    : row_(row), nodes_(chunks, cache_bytes), reader_(cracked(row).file_index, nodes_) {}

NameEntry VolumeIndex::resolve(const std::string& path) {
  std::optional<NameEntry> entry = reader_.find_path(path);
  if (!entry)
    throw Error(ErrorCode::not_found, "there is no such file or directory in the restore point",
                row_.name + "/" + printable(path), "'vmferry ls' shows what there is");
  return std::move(*entry);
}

void VolumeIndex::list(std::span<const MftReference> directories, const std::function<void(const NameEntry&)>& visit) {
  const std::unordered_set<MftReference> wanted(directories.begin(), directories.end());
  std::vector<KeyRange> keys;
  for (const MftReference directory : wanted) {
    Bytes last = name_prefix(directory);
    last.resize(last.size() + limits::tree_key_max, std::byte{0xff});
    keys.push_back({name_prefix(directory), std::move(last)});
  }
  sweep_tree(row_.volume->file_index, nodes_, std::move(keys), [&](const TreeEntry& entry) {
    if (!is_name_key(entry.key)) return;
    const NameEntry name = decode_name(entry.key, entry.value);
    if (wanted.contains(name.parent) && !is_root_itself(name)) visit(name);
  });
}

void VolumeIndex::fetch_records(std::span<const MftReference> records) {
  std::vector<KeyRange> keys;
  keys.reserve(records.size());
  for (const MftReference record : records) keys.push_back({record_key(record, 0), record_key(record, 0xffff)});
  sweep_tree(row_.volume->file_index, nodes_, std::move(keys), [](const TreeEntry&) {});
}

}  // namespace vmferry::restore
