#include <algorithm>

#include "protocol/error.h"
#include "protocol/file_index.h"

namespace vmferry {
namespace {

// More than NTFS can hold of one file (an attribute list has at most 256 KiB): a bound for hostile indexes.
constexpr std::size_t runs_max = std::size_t{1} << 24;

bool begins_with(ByteView key, ByteView prefix) {
  return key.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), key.begin());
}

[[noreturn]] void throw_bad_index(MftReference record, std::string_view why) {
  throw Error(ErrorCode::malformed, "cannot read a file index",
              "MFT record " + std::to_string(mft_record_number(record)), std::string(why));
}

// The root's names carry its sequence number; nothing else in the index does.
NameEntry root_entry(TreeCursor& cursor) {
  NameEntry root;
  root.record = root_directory_record | root_directory_record << 48;  // as NTFS makes it
  root.name.assign(1, u'.');
  root.is_directory = true;
  cursor.seek(name_prefix(root_directory_record));
  if (!cursor.at_end() && cursor.entry().key.size() > 9 &&
      begins_with(cursor.entry().key, ByteView(name_prefix(root_directory_record)).first(7)))
    root.record = decode_name(cursor.entry().key, cursor.entry().value).parent;
  root.parent = root.record;
  const Bytes own_name = name_key(root.record, root.name, root.name);
  cursor.seek(own_name);
  if (!cursor.at_end() && cursor.entry().key == own_name)
    root = decode_name(cursor.entry().key, cursor.entry().value);
  return root;
}

}  // namespace

bool is_root_itself(const NameEntry& entry) {
  return entry.name == u"." && mft_record_number(entry.record) == mft_record_number(entry.parent);
}

FileIndexReader::FileIndexReader(TreeRoot root, ChunkSource& source)
    : cursor_(std::make_unique<TreeCursor>(root, source)) {}

std::optional<NameEntry> FileIndexReader::find(MftReference directory, std::u16string_view name) {
  const Bytes prefix = name_prefix(directory, upcase_simple(name));
  std::optional<NameEntry> found;
  for (cursor_->seek(prefix); !cursor_->at_end() && begins_with(cursor_->entry().key, prefix); cursor_->next()) {
    NameEntry entry = decode_name(cursor_->entry().key, cursor_->entry().value);
    if (entry.name.size() != name.size()) continue;
    const bool exact = entry.name == name;
    if (exact || !found) found = std::move(entry);
    if (exact) break;
  }
  return found;
}

std::optional<NameEntry> FileIndexReader::find_path(std::string_view utf8_path) {
  NameEntry entry = root_entry(*cursor_);
  while (true) {
    const std::size_t begin = utf8_path.find_first_not_of("/\\");
    if (begin == std::string_view::npos) return entry;
    utf8_path.remove_prefix(begin);
    const std::size_t length = std::min(utf8_path.find_first_of("/\\"), utf8_path.size());
    const std::optional<std::u16string> name = to_utf16(utf8_path.substr(0, length));
    utf8_path.remove_prefix(length);
    if (!name || !entry.is_directory) return std::nullopt;
    std::optional<NameEntry> found = find(entry.record, *name);
    if (!found || is_root_itself(*found)) return std::nullopt;
    entry = std::move(*found);
  }
}

std::optional<RecordEntry> FileIndexReader::record(MftReference record) {
  const Bytes first = record_key(record);
  cursor_->seek(first);
  if (cursor_->at_end() || cursor_->entry().key != first) return std::nullopt;
  RecordEntry whole = decode_record(cursor_->entry().key, cursor_->entry().value);
  for (std::uint32_t part = 1; whole.more_parts; ++part) {
    cursor_->next();
    if (part > 0xffff || cursor_->at_end() ||
        cursor_->entry().key != record_key(record, static_cast<std::uint16_t>(part)))
      throw_bad_index(record, "a part is missing");
    RecordEntry next = decode_record(cursor_->entry().key, cursor_->entry().value);
    auto stream = next.streams.begin();
    if (next.continues) {
      if (whole.streams.empty()) throw_bad_index(record, "nothing to continue");
      auto& runs = whole.streams.back().runs;
      if (runs.size() > runs_max) throw_bad_index(record, "too many runs");
      runs.insert(runs.end(), stream->runs.begin(), stream->runs.end());
      ++stream;
    }
    whole.streams.insert(whole.streams.end(), std::make_move_iterator(stream),
                         std::make_move_iterator(next.streams.end()));
    whole.more_parts = next.more_parts;
  }
  return whole;
}

}  // namespace vmferry
