#include <algorithm>
#include <array>

#include "engine/restore/output_names.h"
#include "engine/restore/restore.h"
#include "engine/restore/volume_content.h"
#include "engine/restore/volume_index.h"
#include "engine/restore/volume_ranges.h"
#include "protocol/error.h"

namespace vmferry::restore {
namespace {

// Gives zeros for what lies between two pieces.
class Gapless {
 public:
  explicit Gapless(const std::function<void(ByteView)>& use) : use_(use) {}
  void give(std::uint64_t offset, ByteView content) {
    if (offset < at_) throw Error(ErrorCode::malformed, "a file's content is out of order");
    zeros_to(offset);
    use_(content);
    at_ += content.size();
  }
  void zeros_to(std::uint64_t end) {
    static constexpr std::array<std::byte, 65536> zeros{};
    while (at_ < end) {
      const std::size_t length = static_cast<std::size_t>(std::min<std::uint64_t>(zeros.size(), end - at_));
      use_(ByteView(zeros).first(length));
      at_ += length;
    }
  }

 private:
  const std::function<void(ByteView)>& use_;
  std::uint64_t at_ = 0;
};

}  // namespace

void cat_file(const RestorePoint& point, const PathInPoint& where, const RestoreOptions& options,
              target::TargetSession& session, const std::function<void(ByteView)>& use) {
  const VolumeRow row = pick_volume(point, where.volume);
  const std::string shown = row.name + "/" + printable(where.path);
  VolumeIndex index(row, session.chunks(), node_cache_bytes);
  const NameEntry entry = index.resolve(where.path);
  if (entry.is_directory)
    throw Error(ErrorCode::unsupported, "this is a directory", shown, "'vmferry restore' restores it");
  VolumeContent content(row, session, options);
  VolumeRanges ranges(row);
  ranges.load(index);
  std::vector<ByteRange> file_ranges;
  if (const std::optional<RecordEntry> record = index.record(entry.record))
    for (const StreamEntry& stream : record->streams)
      if (VolumeRanges::is_content(stream)) ranges.add_stream(stream, ~std::uint64_t{0}, file_ranges);
  std::vector<ByteRange> plan = ranges.mount();
  ranges.add_record(entry.record, plan);
  plan.insert(plan.end(), file_ranges.begin(), file_ranges.end());
  content.image().plan(std::move(plan));
  const std::optional<MapKind> left_out = content.image().left_out(file_ranges);
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::unsupported, "cannot read the file", shown, why);
  };
  if (left_out == MapKind::excluded) refuse("its content was left out of the backup");
  if (left_out == MapKind::free)
    throw Error(ErrorCode::damaged, "the image map calls clusters of this file free", shown,
                "verify the restore point");

  Gapless out(use);
  bool began = false;
  std::uint64_t bytes = 0;
  VolumeContent::Reading reading;
  reading.wanted = [&](const crack::VolumeFiles::FileFacts& facts) {
    if ((facts.reparse_tag & tag_is_name_surrogate) != 0) refuse("it is a link, and links are not followed");
    if (!facts.unreadable_because.empty()) refuse(facts.unreadable_because);
    bytes = facts.data_bytes;
    return true;
  };
  reading.use = [&](std::uint64_t offset, std::span<const std::byte> piece) {
    if (!range_fits(offset, piece.size(), bytes))
      throw Error(ErrorCode::malformed, "a file has content past its end", shown);
    began = true;
    out.give(offset, piece);
  };
  reading.restarted = [&] {
    if (began) throw Error(ErrorCode::malformed, "the file could be read in part only", shown);
  };
  content.read(entry.record, reading);
  out.zeros_to(bytes);
}

}  // namespace vmferry::restore
