#include "engine/backup/file_paths.h"

#include <algorithm>

namespace vmferry::backup {
namespace {

constexpr int depth_max = 512;
constexpr std::size_t path_bytes_max = 1024;

bool is_root(MftReference record) { return mft_record_number(record) == root_directory_record; }

std::string shown(std::u16string_view name) {
  std::string text = to_utf8(name);
  for (std::size_t at = text.find('/'); at != std::string::npos; at = text.find('/', at)) text.replace(at, 1, "\\x2f");
  return text;
}

}  // namespace

void FilePaths::look(DiskLayout& layout, std::uint32_t volume) {
  layout.file_index(volume, [&](ByteView key, ByteView value) {
    if (!key.empty() && key.front() == std::byte{'N'}) keep(decode_name(key, value));
  });
  std::stable_sort(directories_.begin(), directories_.end(),
                   [](const Directory& a, const Directory& b) { return a.record < b.record; });
}

void FilePaths::keep(const NameEntry& entry) {
  if (is_root(entry.record)) return;  // its own name in itself
  const auto found = wanted_.find(entry.record);
  const bool is_better =
      found != wanted_.end() && (found->second.text.empty() || (found->second.is_short && !entry.is_short_name));
  const bool keeps_directory = entry.is_directory && !entry.is_short_name;
  if (!is_better && !keeps_directory) return;
  const std::string name = shown(entry.name);
  if (is_better) found->second = {entry.parent, name, entry.is_short_name};
  if (keeps_directory) keep_directory(entry, name);
}

void FilePaths::keep_directory(const NameEntry& entry, std::string_view name) {
  if (full_ || names_.size() + name.size() + (directories_.size() + 1) * sizeof(Directory) > directories_bytes_max_) {
    full_ = true;
    return;
  }
  directories_.push_back({entry.record, entry.parent, names_.size(), static_cast<std::uint32_t>(name.size())});
  names_ += name;
}

// The first where several claim to be it.
const FilePaths::Directory* FilePaths::directory(MftReference record) const {
  const auto found = std::lower_bound(directories_.begin(), directories_.end(), record,
                                      [](const Directory& a, MftReference wanted) { return a.record < wanted; });
  return found != directories_.end() && found->record == record ? &*found : nullptr;
}

std::string FilePaths::path(MftReference record) const {
  if (is_root(record)) return "/";
  const std::string nameless = "[file " + std::to_string(mft_record_number(record)) + "]";
  const auto found = wanted_.find(record);
  if (found == wanted_.end() || found->second.text.empty()) return nameless;
  std::string tail = found->second.text;
  bool shortened = false;
  MftReference parent = found->second.parent;
  for (int depth = 0; depth < depth_max && !is_root(parent); ++depth) {
    const Directory* above = directory(parent);
    if (above == nullptr) {
      if (full_) return nameless;
      break;
    }
    shortened = shortened || tail.size() + above->name_bytes > path_bytes_max;
    if (!shortened) tail = std::string(name_of(*above)) + "/" + tail;
    parent = above->parent;
  }
  return (is_root(parent) ? "/" : "[lost]/") + std::string(shortened ? "[...]/" : "") + tail;
}

}  // namespace vmferry::backup
