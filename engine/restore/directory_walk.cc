#include "engine/restore/directory_walk.h"

#include <iterator>
#include <unordered_map>
#include <vector>

namespace vmferry::restore {
namespace {

constexpr std::size_t directories_at_once = 512;
constexpr std::uint64_t metadata_records = 24;  // the records before are reserved

struct Directory {
  MftReference record;
  std::string place;
  std::size_t depth;
};

}  // namespace

bool RecordSet::insert(MftReference record) {
  const std::uint64_t number = mft_record_number(record);
  std::uint64_t& word = pages_[number / 512][number / 64 % 8];
  const std::uint64_t bit = std::uint64_t{1} << (number % 64);
  if ((word & bit) != 0) return false;
  word |= bit;
  return true;
}

bool is_metadata_file(MftReference record) {
  const std::uint64_t number = mft_record_number(record);
  return number < metadata_records && number != root_directory_record;
}

void walk_directory(VolumeIndex& index, MftReference directory, const std::string& place, bool recursive,
                    const DirectoryVisitor& visitor) {
  RecordSet seen;
  seen.insert(root_directory_record);
  seen.insert(directory);
  std::vector<Directory> waiting{{directory, place, 0}};  // the next ones last
  while (!waiting.empty()) {
    std::unordered_map<MftReference, Directory> listed;
    std::vector<MftReference> records;
    for (; !waiting.empty() && records.size() < directories_at_once; waiting.pop_back()) {
      records.push_back(waiting.back().record);
      listed.emplace(waiting.back().record, std::move(waiting.back()));
    }
    std::vector<Directory> below;
    index.list(records, [&](const NameEntry& entry) {
      const Directory& at = listed.at(entry.parent);
      if (entry.is_short_name || is_metadata_file(entry.record)) return;
      if (!entry.is_directory || !recursive) {
        visitor.visit(at.place, entry);
      } else if (at.depth == directory_depth_max) {
        visitor.refused(at.place, entry, DirectoryVisitor::Refusal::too_deep);
      } else if (!seen.insert(entry.record)) {
        visitor.refused(at.place, entry, DirectoryVisitor::Refusal::seen_before);
      } else if (std::optional<std::string> child = visitor.visit(at.place, entry)) {
        below.push_back({entry.record, std::move(*child), at.depth + 1});
      }
    });
    waiting.insert(waiting.end(), std::make_move_iterator(below.rbegin()), std::make_move_iterator(below.rend()));
  }
}

}  // namespace vmferry::restore
