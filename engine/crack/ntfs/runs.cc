#include "engine/crack/ntfs/runs.h"

#include <algorithm>
#include <cstring>

#include "engine/crack/event_codec.h"
#include "engine/crack/ntfs/require.h"
#include "protocol/byte_range.h"

namespace vmferry::crack {
namespace {

std::int64_t signed_number(ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  const unsigned unused = 64 - 8 * static_cast<unsigned>(bytes.size());
  return static_cast<std::int64_t>(value << unused) >> unused;
}

void append_run(std::vector<StreamRun>& runs, std::uint64_t lcn, std::uint64_t clusters) {
  if (!runs.empty()) {
    StreamRun& last = runs.back();
    const bool both_holes = lcn == StreamRun::run_hole && last.lcn == StreamRun::run_hole;
    const bool follows = lcn != StreamRun::run_hole && last.lcn != StreamRun::run_hole && last.lcn + last.clusters == lcn;
    if (both_holes || follows) {
      last.clusters += clusters;
      return;
    }
  }
  require(runs.size() < runs_per_stream_max, "a stream has too many runs");
  runs.push_back({lcn, clusters});
}

}  // namespace

void append_mapping_pairs(ByteView mapping_pairs, std::uint64_t vcns, std::uint64_t volume_clusters,
                          std::vector<StreamRun>& runs) {
  std::uint64_t done = 0;
  std::int64_t lcn = 0;
  std::size_t at = 0;
  while (at < mapping_pairs.size() && mapping_pairs[at] != std::byte{0}) {
    const unsigned sizes = std::to_integer<unsigned>(mapping_pairs[at]);
    const std::size_t length_bytes = sizes & 15, delta_bytes = sizes >> 4;
    require(length_bytes >= 1 && length_bytes <= 8 && delta_bytes <= 8, "a run's header makes no sense");
    require(range_fits(at + 1, length_bytes + delta_bytes, mapping_pairs.size()), "the runs are cut off");
    const std::int64_t length = signed_number(mapping_pairs.subspan(at + 1, length_bytes));
    require(length > 0 && static_cast<std::uint64_t>(length) <= vcns - done, "a run's length makes no sense");
    const std::uint64_t clusters = static_cast<std::uint64_t>(length);
    std::uint64_t run_lcn = StreamRun::run_hole;
    if (delta_bytes > 0) {
      const std::int64_t delta = signed_number(mapping_pairs.subspan(at + 1 + length_bytes, delta_bytes));
      require(!__builtin_add_overflow(lcn, delta, &lcn), "a run's place makes no sense");
      if (lcn != -1) {  // NTFS 1.x wrote holes so
        require(lcn >= 0 && range_fits(static_cast<std::uint64_t>(lcn), clusters, volume_clusters),
                "a run lies outside the volume");
        run_lcn = static_cast<std::uint64_t>(lcn);
      }
    }
    append_run(runs, run_lcn, clusters);
    done += clusters;
    at += 1 + length_bytes + delta_bytes;
  }
  require(done == vcns, "the runs do not cover the stream");
}

std::uint64_t clusters_of(const std::vector<StreamRun>& runs) {
  std::uint64_t sum = 0;
  for (const StreamRun& run : runs) sum = checked_add(sum, run.clusters, "a stream's runs");
  return sum;
}

RunReader::RunReader(VolumeReader& volume, std::uint32_t cluster_bytes, const StreamEntry& stream)
    : volume_(&volume), cluster_bytes_(cluster_bytes), data_bytes_(stream.data_bytes),
      initialized_bytes_(std::min(stream.initialized_bytes, stream.data_bytes)) {
  extend(stream.runs);
}

void RunReader::extend(const std::vector<StreamRun>& runs) {
  starts_.clear();
  starts_.reserve(runs.size());
  end_ = 0;
  for (const StreamRun& run : runs) {
    const bool hole = run.lcn == StreamRun::run_hole;
    has_holes_ |= hole;
    starts_.push_back({end_, hole ? piece_hole : checked_mul<std::uint64_t>(run.lcn, cluster_bytes_, "a run")});
    end_ = checked_add(end_, checked_mul<std::uint64_t>(run.clusters, cluster_bytes_, "a run"), "a stream");
  }
}

RunReader::Piece RunReader::piece_at(std::uint64_t offset) const {
  require(offset < end_, "a stream ends too early");
  auto next = std::upper_bound(starts_.begin(), starts_.end(), offset,
                               [](std::uint64_t at, const Start& start) { return at < start.offset; });
  const std::uint64_t piece_end = next == starts_.end() ? end_ : next->offset;
  const Start& start = *--next;
  return {start.volume_offset == piece_hole ? piece_hole : start.volume_offset + (offset - start.offset), piece_end - offset};
}

void RunReader::read(std::uint64_t offset, std::span<std::byte> into) {
  require(range_fits(offset, into.size(), data_bytes_), "a stream ends too early");
  if (offset + into.size() > initialized_bytes_) {
    const std::size_t there = offset < initialized_bytes_ ? static_cast<std::size_t>(initialized_bytes_ - offset) : 0;
    std::fill(into.begin() + static_cast<std::ptrdiff_t>(there), into.end(), std::byte{0});
    into = into.first(there);
  }
  while (!into.empty()) {
    const Piece piece = piece_at(offset);
    const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(piece.length, into.size()));
    if (piece.volume_offset == piece_hole) {
      std::memset(into.data(), 0, part);
    } else {
      volume_->read(piece.volume_offset, into.first(part));
    }
    into = into.subspan(part);
    offset += part;
  }
}

void RunReader::prefetch(std::uint64_t offset, std::uint64_t length) {
  if (offset >= std::min(end_, initialized_bytes_)) return;
  const Piece piece = piece_at(offset);
  if (piece.volume_offset != piece_hole) volume_->prefetch(piece.volume_offset, std::min(piece.length, length));
}

}  // namespace vmferry::crack
