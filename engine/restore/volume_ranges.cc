#include "engine/restore/volume_ranges.h"

#include <algorithm>
#include <array>

namespace vmferry::restore {
namespace {

constexpr std::u16string_view wof_stream_name = u"WofCompressedData";
constexpr std::uint64_t metadata_files = 12;             // $MFT to $Extend
constexpr std::uint64_t mount_bytes_per_stream = 128 * 1024;  // $UpCase is that large, and read whole

}  // namespace

VolumeRanges::VolumeRanges(const VolumeRow& row)
    : volume_(row.volume->range),
      cluster_bytes_(row.volume->cluster_bytes),
      record_bytes_(row.volume->mft_record_bytes) {}

bool VolumeRanges::is_content(const StreamEntry& stream) {
  return stream.attribute_type == attribute_data && (stream.name.empty() || stream.name == wof_stream_name);
}

void VolumeRanges::load(VolumeIndex& index) {
  std::array<MftReference, metadata_files> records;
  for (std::uint64_t i = 0; i < metadata_files; ++i) records[static_cast<std::size_t>(i)] = i;
  index.fetch_records(records);
  // The first bytes of any file system, should the index not name $Boot.
  mount_.push_back({volume_.offset, std::min<std::uint64_t>(volume_.length, 8192)});
  for (const MftReference number : records) {
    const std::optional<RecordEntry> record = index.record(number);
    if (!record) continue;
    for (const StreamEntry& stream : record->streams) {
      add_stream(stream, mount_bytes_per_stream, mount_);
      if (number != 0 || stream.attribute_type != attribute_data || !stream.name.empty()) continue;
      std::uint64_t offset = 0;
      for (const StreamRun& run : stream.runs) {
        std::uint64_t length = 0;
        if (__builtin_mul_overflow(run.clusters, cluster_bytes_, &length)) break;
        mft_.push_back({offset, run});
        if (__builtin_add_overflow(offset, length, &offset)) break;
      }
    }
  }
}

void VolumeRanges::add_record(MftReference record, std::vector<ByteRange>& ranges) const {
  std::uint64_t offset = 0;
  if (__builtin_mul_overflow(mft_record_number(record), record_bytes_, &offset)) return;
  const auto after = std::upper_bound(mft_.begin(), mft_.end(), offset,
                                      [](std::uint64_t o, const MftPiece& piece) { return o < piece.offset; });
  if (after == mft_.begin()) return;
  const MftPiece& piece = *std::prev(after);
  const std::uint64_t within = offset - piece.offset;
  if (piece.run.lcn == StreamRun::run_hole || cluster_bytes_ == 0 || within / cluster_bytes_ >= piece.run.clusters)
    return;
  add_clusters(piece.run.lcn, within, record_bytes_, ranges);
}

void VolumeRanges::add_stream(const StreamEntry& stream, std::uint64_t bytes_max,
                              std::vector<ByteRange>& ranges) const {
  if (stream.resident) return;
  // Whole compression units are read, past the last byte of the file.
  std::uint64_t left = bytes_max;
  for (const StreamRun& run : stream.runs) {
    std::uint64_t length = 0;
    if (left == 0 || __builtin_mul_overflow(run.clusters, cluster_bytes_, &length)) return;
    length = std::min(length, left);
    left -= length;
    if (run.lcn != StreamRun::run_hole) add_clusters(run.lcn, 0, length, ranges);
  }
}

void VolumeRanges::add_clusters(std::uint64_t lcn, std::uint64_t offset, std::uint64_t length,
                                std::vector<ByteRange>& ranges) const {
  std::uint64_t begin = 0;
  if (length == 0 || __builtin_mul_overflow(lcn, cluster_bytes_, &begin) ||
      __builtin_add_overflow(begin, offset, &begin) || !range_fits(begin, length, volume_.length))
    return;
  std::uint64_t on_disk = 0;
  if (__builtin_add_overflow(volume_.offset, begin, &on_disk)) return;
  if (!ranges.empty() && ranges.back().end() == on_disk) {
    ranges.back().length += length;
  } else {
    ranges.push_back({on_disk, length});
  }
}

}  // namespace vmferry::restore
