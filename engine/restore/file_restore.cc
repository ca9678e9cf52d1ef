#include "engine/restore/file_restore.h"

#include <algorithm>
#include <utility>

#include "engine/restore/output_names.h"
#include "engine/restore/volume_ranges.h"
#include "protocol/error.h"

namespace vmferry::restore {
namespace {

// Files were backed up in the order of their records, and lie so in the target's frames. In the order of their names each
// batch would need a chunk here and there of all frames, and a frame comes whole each time.
constexpr std::size_t gathered_items_max = 16 * 1024;
constexpr std::size_t gathered_path_bytes_max = 16u << 20;  // a guest's directories may be as deep as it likes
constexpr std::size_t items_max = 4096;       // of a batch
constexpr std::size_t batches_ahead = 2;
constexpr std::size_t runs_max = 256 * 1024;  // of the records of all batches
constexpr std::size_t path_bytes_max = 1 << 20;
// Excluded files are excluded whole: their beginning tells. What it does not tell, the read refuses.
constexpr std::uint64_t left_out_look_bytes = 64u << 20;
constexpr std::uint32_t attribute_read_only = 0x1;
constexpr std::uint32_t attribute_reparse_point = 0x400;

std::size_t run_count(const std::optional<RecordEntry>& record) {
  std::size_t count = 0;
  if (record)
    for (const StreamEntry& stream : record->streams) count += stream.runs.size();
  return count;
}

// What no other file will fare better with.
bool is_fatal(ErrorCode code) {
  return code == ErrorCode::unreachable || code == ErrorCode::cancelled || code == ErrorCode::no_space ||
         code == ErrorCode::busy || code == ErrorCode::version;
}

}  // namespace

std::uint64_t PathSpool::add(const std::string& text) {
  const std::uint64_t place = file_.size();
  const std::uint64_t length = text.size();
  file_.append(&length, sizeof length);
  file_.append(text.data(), text.size());
  return place;
}

std::string PathSpool::at(std::uint64_t place) const {
  std::uint64_t length = 0;
  file_.read(place, &length, sizeof length);
  if (length > path_bytes_max) throw Error(ErrorCode::failed, "a temporary file was changed by somebody else");
  std::string text(static_cast<std::size_t>(length), '\0');
  file_.read(place + sizeof length, text.data(), text.size());
  return text;
}

FileRestore::FileRestore(Parts parts) : to_(parts), paths_(parts.options.spool_directory) {}

void FileRestore::add(const NameEntry& entry, const std::string& place, const std::string& name) {
  items_.push_back({entry, place, name, std::nullopt});
  gathered_path_bytes_ += place.size() + name.size();
  if (items_.size() == gathered_items_max || gathered_path_bytes_ >= gathered_path_bytes_max) plan_gathered();
}

void FileRestore::add_directory(const NameEntry& entry, const std::string& place, const std::string& name) {
  directories_.push_back({paths_.add(joined_place(place, name)), entry.times});
  ++to_.result.directories;
  add(entry, place, name);  // for its named streams
}

void FileRestore::flush() {
  plan_gathered();
  while (!planned_.empty()) restore_oldest();
}

void FileRestore::plan_gathered() {
  std::vector<Item> items = std::exchange(items_, {});
  gathered_path_bytes_ = 0;
  std::ranges::stable_sort(items, {}, [](const Item& item) { return mft_record_number(item.entry.record); });
  for (auto first = items.begin(); first != items.end();) {
    const auto last = first + std::min<std::ptrdiff_t>(items_max, items.end() - first);
    plan({std::move_iterator(first), std::move_iterator(last)});
    while (planned_.size() > batches_ahead) restore_oldest();
    first = last;
  }
}

void FileRestore::plan(std::vector<Item> items) {
  if (!ranges_loaded_) to_.ranges.load(to_.index);
  std::vector<MftReference> records;
  for (const Item& item : items) records.push_back(item.entry.record);
  to_.index.fetch_records(records);
  std::vector<Item> some;
  std::size_t runs = 0;
  for (Item& item : items) {
    item.record = to_.index.record(item.entry.record);
    const std::size_t more = run_count(item.record);
    if (!some.empty() && runs + more > runs_max / 2) plan_batch(std::exchange(some, {}), std::exchange(runs, 0));
    runs += more;
    some.push_back(std::move(item));
  }
  plan_batch(std::move(some), runs);
}

void FileRestore::plan_batch(std::vector<Item> items, std::size_t runs) {
  while (!planned_.empty() && planned_runs_ + runs > runs_max) restore_oldest();
  std::vector<ByteRange> ranges;
  if (!std::exchange(ranges_loaded_, true)) ranges = to_.ranges.mount();
  for (const Item& item : items) {
    if (item.entry.is_directory) continue;
    to_.ranges.add_record(item.entry.record, ranges);
    if (!item.record) continue;
    for (const StreamEntry& stream : item.record->streams)
      if (VolumeRanges::is_content(stream)) to_.ranges.add_stream(stream, ~std::uint64_t{0}, ranges);
  }
  planned_runs_ += runs;
  planned_.push_back({std::move(items), runs, to_.content.image().plan(std::move(ranges))});
}

void FileRestore::restore_oldest() {
  const Batch batch = std::move(planned_.front());
  planned_.pop_front();
  for (const Item& item : batch.items) {
    if (to_.cancel) throw Error(ErrorCode::cancelled, "the restore was stopped", item.path());
    try {
      restore(item);
    } catch (const Error& error) {
      fail(item.path(), error);
    }
    to_.events.progress(done_bytes_, to_.total_bytes);
  }
  planned_runs_ -= batch.runs;
  to_.content.image().forget_before(batch.plan_end);
}

void FileRestore::fail(const std::string& path, const Error& error) {
  if (is_fatal(error.code())) throw error;
  if (!to_.options.keep_going)
    throw Error(error.code(), "cannot restore a file", printable(path),
                std::string(error.what()) + "; --keep-going restores the others");
  if (error.code() == ErrorCode::damaged) to_.result.damaged = true;
  to_.log.warn({"failed", printable(path), error.what()});
}

bool FileRestore::is_link(const NameEntry& entry, const std::string& path) {
  if ((entry.attributes & attribute_reparse_point) == 0 || (entry.reparse_tag & tag_is_name_surrogate) == 0)
    return false;
  to_.log.reparse_point(printable(path));
  return true;
}

void FileRestore::restore(const Item& item) {
  count_streams(item);
  if (item.entry.is_directory || is_link(item.entry, item.path())) return;
  if (!restore_link(item)) restore_content(item);
  done_bytes_ += item.entry.data_bytes;
}

void FileRestore::count_streams(const Item& item) {
  if (!item.record) return;
  for (const StreamEntry& stream : item.record->streams)
    if (stream.attribute_type == attribute_data && !stream.name.empty() && !VolumeRanges::is_content(stream))
      to_.log.named_stream(printable(item.path()), printable(to_utf8(stream.name)));
}

bool FileRestore::restore_link(const Item& item) {
  const auto first = links_.find(item.entry.record);
  if (first == links_.end()) return false;
  if (!to_.tree.link(paths_.at(first->second.first), paths_.at(first->second.second), item.place, item.name,
                     to_.options.force))
    return false;
  ++to_.result.files;
  return true;
}

bool FileRestore::is_left_out(const Item& item) {
  if (!item.record) return false;
  std::vector<ByteRange> ranges;
  for (const StreamEntry& stream : item.record->streams)
    if (VolumeRanges::is_content(stream)) to_.ranges.add_stream(stream, left_out_look_bytes, ranges);
  const std::optional<MapKind> kind = to_.content.image().left_out(ranges);
  if (kind == MapKind::free)
    throw Error(ErrorCode::damaged, "the image map calls clusters of this file free", {}, "verify the restore point");
  return kind == MapKind::excluded;
}

void FileRestore::restore_content(const Item& item) {
  const Warning left_out{"left_out", printable(item.path()),
                         "its content was left out of the backup, so it was not restored (--keep takes it along)"};
  if (is_left_out(item)) {
    to_.log.warn(left_out);
    return;
  }
  std::optional<OutputFile> file;
  try {
    crack::VolumeFiles::FileFacts facts;
    VolumeContent::Reading reading;
    reading.wanted = [&](const crack::VolumeFiles::FileFacts& found) {
      facts = found;
      if ((facts.reparse_tag & tag_is_name_surrogate) != 0) {
        to_.log.reparse_point(printable(item.path()));
        return false;
      }
      if (!facts.unreadable_because.empty()) {
        to_.log.warn({"unreadable", printable(item.path()), "it was not restored: " + facts.unreadable_because});
        return false;
      }
      file =
          to_.tree.create_file(item.place, item.name, to_.options.force, (facts.attributes & attribute_read_only) != 0);
      return true;
    };
    reading.use = [&](std::uint64_t offset, std::span<const std::byte> content) {
      if (to_.cancel) throw Error(ErrorCode::cancelled, "the restore was stopped", item.path());
      if (!range_fits(offset, content.size(), facts.data_bytes))
        throw Error(ErrorCode::malformed, "a file has content past its end");
      file->write(offset, content);
      to_.result.written_bytes += content.size();
    };
    reading.restarted = [&] {
      if (file) file->discard();
      file.reset();
    };
    to_.content.read(item.entry.record, reading);
    if (!file) return;
    file->set_size(facts.data_bytes);
    file->set_times(facts.times);
    file->finish();
    ++to_.result.files;
    if (facts.has_acl) to_.log.security_descriptor();
  } catch (const Error&) {
    if (!to_.content.left_out_seen()) throw;
    if (file) file->discard();
    to_.log.warn(left_out);
    return;
  }
  // In every directory that has a short name too, a file has two links: the table is larger than it need be.
  if (item.record && item.record->links > 1)
    links_.emplace(item.entry.record, std::pair(paths_.add(item.place), paths_.add(item.name)));
}

void FileRestore::finish() {
  flush();
  for (const MadeDirectory& made : directories_) {
    const std::string place = paths_.at(made.place);
    try {
      to_.tree.set_directory_times(place, made.times);
    } catch (const Error& error) {
      fail(place, error);
    }
  }
}

}  // namespace vmferry::restore
