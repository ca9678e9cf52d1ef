#include "engine/backup/former_names.h"

#include <algorithm>

#include "engine/backup/former_cuts.h"
#include "protocol/checksum.h"
#include "protocol/tree_node.h"

namespace vmferry::backup {
namespace {

constexpr std::size_t files_max = 1u << 18;               // the rest of the new files are sent without a basis
constexpr std::size_t candidates_max = 16;                // of one name or size; the others are sent without one too
constexpr std::uint64_t file_bytes_min = 16u << 10;       // smaller ones share frames, and are not worth a search
constexpr std::uint64_t search_bytes_min = 1u << 20;      // of new files: below it the former index is not read through
constexpr std::uint64_t size_ratio_max = 4;
constexpr std::uint64_t by_size_bytes_min = 1u << 20;     // smaller files are of equal size by chance

std::uint64_t name_hash(const std::u16string& name) {
  const std::u16string upcased = upcase_simple(name);
  return checksum64(std::as_bytes(std::span(upcased.data(), upcased.size())));
}

std::uint64_t distance(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : b - a; }

}  // namespace

void FormerNames::new_node(ByteView node) try {
  tree::FlatNode parsed;
  parsed.parse(node);
  if (parsed.level() != 0) return;
  for (std::size_t i = 0; i < parsed.size() && is_name_key(parsed.key(i)); ++i) new_name(parsed.key(i), parsed.value(i));
} catch (const Error& error) {
  throw_former_unreadable(error);
}

bool FormerNames::former_has_record(MftReference record) {
  cursor_.seek(record_key(record));
  return !cursor_.at_end() && cursor_.entry().key == record_key(record) &&
         decode_record(cursor_.entry().key, cursor_.entry().value).record == record;
}

void FormerNames::new_name(ByteView key, ByteView value) {
  const NameEntry entry = decode_name(key, value);
  if (entry.is_directory || entry.is_short_name || entry.data_bytes < file_bytes_min) return;
  cursor_.seek(key);
  if (!cursor_.at_end() && std::ranges::equal(cursor_.entry().key, key)) {
    const MftReference former = decode_name(cursor_.entry().key, cursor_.entry().value).record;
    if (former != entry.record && found_.size() < files_max) found_.insert_or_assign(entry.record, former);
    return;
  }
  if (files_.size() == files_max || (same_machine_ && former_has_record(entry.record))) return;
  add_candidate(by_name_, name_hash(entry.name), files_.size());
  if (entry.data_bytes >= by_size_bytes_min) add_candidate(by_size_, entry.data_bytes, files_.size());
  files_.push_back({entry.record, entry.data_bytes});
  file_bytes_ += entry.data_bytes;
}

void FormerNames::add_candidate(Candidates& candidates, std::uint64_t key, std::size_t file) {
  std::vector<std::uint32_t>& alike = candidates[key];
  if (alike.size() < candidates_max) alike.push_back(static_cast<std::uint32_t>(file));
}

void FormerNames::consider(const NameEntry& former) {
  if (former.is_directory || former.is_short_name || former.data_bytes < file_bytes_min) return;
  if (const auto alike = by_name_.find(name_hash(former.name)); alike != by_name_.end())
    for (const std::uint32_t i : alike->second) {
      NewFile& file = files_[i];
      const auto [smaller, larger] = std::minmax(file.data_bytes, former.data_bytes);
      if (larger / size_ratio_max > smaller) continue;
      if (file.best != 0 && distance(file.best_bytes, file.data_bytes) <= distance(former.data_bytes, file.data_bytes)) continue;
      file.best = former.record;
      file.best_bytes = former.data_bytes;
    }
  if (const auto alike = by_size_.find(former.data_bytes); alike != by_size_.end())
    for (const std::uint32_t i : alike->second) files_[i].of_same_size = former.record;
}

void FormerNames::look_for_equal_names() {
  TreeCursor names(former_index_, nodes_);
  const Bytes first{std::byte{'N'}};
  for (names.seek(first); !names.at_end() && is_name_key(names.entry().key); names.next())
    consider(decode_name(names.entry().key, names.entry().value));
  for (const NewFile& file : files_)
    if (const MftReference former = file.best != 0 ? file.best : file.of_same_size; former != 0)
      found_.emplace(file.record, former);
}

FormerReferences FormerNames::finish() try {
  if (file_bytes_ >= search_bytes_min) look_for_equal_names();
  return std::move(found_);
} catch (const Error& error) {
  throw_former_unreadable(error);
}

}  // namespace vmferry::backup
