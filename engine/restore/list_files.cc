#include "engine/restore/directory_walk.h"
#include "engine/restore/output_tree.h"
#include "engine/restore/restore.h"
#include "engine/restore/volume_index.h"

namespace vmferry::restore {
namespace {

// As the user wrote it, with one kind of separator and none at the ends.
std::string tidy(std::string_view path) {
  std::string result;
  for (const char c : path) {
    const bool separator = c == '/' || c == '\\';
    if (!separator) {
      result += c;
    } else if (!result.empty() && result.back() != '/') {
      result += '/';
    }
  }
  if (!result.empty() && result.back() == '/') result.pop_back();
  return result;
}

}  // namespace

void list_files(const RestorePoint& point, const PathInPoint& where, bool recursive, target::TargetSession& session,
                const std::function<void(const ListRow&)>& visit) {
  VolumeIndex index(pick_volume(point, where.volume), session.chunks(), node_cache_bytes);
  const NameEntry entry = index.resolve(where.path);
  if (!entry.is_directory) {
    visit({tidy(where.path), entry});
    return;
  }
  DirectoryVisitor visitor;
  visitor.visit = [&](const std::string& place, const NameEntry& found) -> std::optional<std::string> {
    std::string path = joined_place(place, to_utf8(found.name));
    visit({path, found});
    return path;
  };
  // What is there already is listed there; nothing is hidden by a loop.
  visitor.refused = [&](const std::string& place, const NameEntry& found, DirectoryVisitor::Refusal) {
    visit({joined_place(place, to_utf8(found.name)), found});
  };
  walk_directory(index, entry.record, tidy(where.path), recursive, visitor);
}

}  // namespace vmferry::restore
