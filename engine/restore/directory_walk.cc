#include "engine/restore/directory_walk.h"

#include <vector>

namespace vmferry::restore {
namespace {

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

void walk_directory(FileIndexReader& index, MftReference directory, const std::string& place, bool recursive,
                    const DirectoryVisitor& visitor) {
  RecordSet seen;
  seen.insert(root_directory_record);
  seen.insert(directory);
  std::vector<Directory> waiting{{directory, place, 0}};
  while (!waiting.empty()) {
    const Directory at = std::move(waiting.back());
    waiting.pop_back();
    std::vector<Directory> below;
    index.list(at.record, [&](const NameEntry& entry) {
      if (entry.is_short_name || is_metadata_file(entry.record)) return true;
      if (!entry.is_directory || !recursive) {
        visitor.visit(at.place, entry);
      } else if (at.depth == directory_depth_max) {
        visitor.refused(at.place, entry, DirectoryVisitor::Refusal::too_deep);
      } else if (!seen.insert(entry.record)) {
        visitor.refused(at.place, entry, DirectoryVisitor::Refusal::seen_before);
      } else if (std::optional<std::string> child = visitor.visit(at.place, entry)) {
        below.push_back({entry.record, std::move(*child), at.depth + 1});
      }
      return true;
    });
    for (auto next = below.rbegin(); next != below.rend(); ++next) waiting.push_back(std::move(*next));
  }
}

}  // namespace vmferry::restore
