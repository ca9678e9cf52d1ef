#include "engine/backup/volume_layout.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "protocol/error.h"

namespace vmferry::backup {
namespace {

constexpr std::size_t buffer_bytes = 256 * 1024;
// A sound volume has none of these. Past this many, StreamInfo::bytes is only an upper bound.
constexpr std::size_t clipped_streams_max = 100'000;

// Of one MFT record. Two streams of as many runs as the cracker takes, or far more streams than fit an attribute list.
constexpr std::size_t record_bytes_max = 128u << 20;

// A power of two: regions of 64 MiB.
constexpr std::uint64_t region_bytes = 64u << 20;

}  // namespace

// Ranges in ascending order, possibly overlapping, read once front to back.
class VolumeLayout::Cover {
 public:
  explicit Cover(std::function<std::optional<std::pair<std::uint64_t, std::uint64_t>>()> next) : next_(std::move(next)) {
    advance();
  }

  // The state at `at` and how far it holds, at most to `end`. `at` never goes back.
  std::pair<bool, std::uint64_t> at(std::uint64_t at, std::uint64_t end) {
    while (current_ && current_->second <= at) advance();
    if (!current_ || current_->first >= end) return {false, end};
    if (current_->first > at) return {false, current_->first};
    return {true, std::min(end, current_->second)};
  }

 private:
  void advance() {
    const auto range = next_();
    current_.reset();
    if (range) current_ = {range->first, range->first + range->second};
  }

  std::function<std::optional<std::pair<std::uint64_t, std::uint64_t>>()> next_;
  std::optional<std::pair<std::uint64_t, std::uint64_t>> current_;  // begin, end
};

VolumeLayout::VolumeLayout(std::filesystem::path spool_directory, std::size_t sort_memory_bytes)
    : spool_directory_(std::move(spool_directory)),
      runs_(spool_directory_, sort_memory_bytes),
      pagefile_runs_(spool_directory_, sort_memory_bytes / 8),
      hiberfil_runs_(spool_directory_, sort_memory_bytes / 8),
      kept_runs_(spool_directory_, sort_memory_bytes / 8),
      allocated_(spool_directory_),
      stream_names_(spool_directory_),
      index_(spool_directory_, sort_memory_bytes) {}

void VolumeLayout::volume(const crack::VolumeFacts& facts) { facts_ = facts; }

void VolumeLayout::flush_record() {
  if (!pending_) return;
  for (const RecordEntry& part : split_record(std::move(*pending_)))
    index_.add(record_key(part.record, part.part), encode_record(part));
  pending_.reset();
}

void VolumeLayout::stream(const crack::StreamEvent& event) {
  if (!pending_ || pending_->record != event.record) {
    flush_record();
    pending_.emplace();
    pending_->record = event.record;
    pending_bytes_ = 0;
  }
  const StreamEntry& stream = event.stream;
  pending_bytes_ += sizeof stream + stream.name.size() * sizeof(char16_t) + stream.runs.size() * sizeof(StreamRun);
  if (pending_bytes_ > record_bytes_max)
    throw Error(ErrorCode::malformed, "cannot crack the volume", {}, "an MFT record has too many streams and runs");
  StreamKey key;
  std::uint64_t stored_clusters = 0;
  for (const StreamRun& run : stream.runs) {
    if (run.lcn == StreamRun::run_hole) continue;
    if (stored_clusters == 0)
      key = {0, static_cast<std::uint32_t>(run.lcn * facts_.cluster_bytes / region_bytes), stream_names_bytes_};
    RunSorter& sorter = event.excludable == 0 ? runs_ : event.excludable == 1 ? pagefile_runs_ : hiberfil_runs_;
    sorter.add({run.lcn, run.clusters, stored_clusters, event.excludable == 0 ? key : StreamKey{}});
    stored_clusters += run.clusters;
  }
  if (event.excludable == 1) pagefile_bytes_ += stored_clusters * facts_.cluster_bytes;
  if (event.excludable == 2) hiberfil_bytes_ += stored_clusters * facts_.cluster_bytes;
  if (stored_clusters > 0 && event.excludable == 0)
    add_name({event.record, stored_clusters * facts_.cluster_bytes, stream.attribute_type,
              static_cast<std::uint32_t>(stream.name.size())},
             stream.name);
  pending_->streams.push_back(stream);
}

void VolumeLayout::add_name(const StreamNameHeader& header, const std::u16string& name) {
  const auto raw = std::as_bytes(std::span(&header, 1));
  const auto text = std::as_bytes(std::span(name.data(), name.size()));
  stream_names_buffer_.insert(stream_names_buffer_.end(), raw.begin(), raw.end());
  stream_names_buffer_.insert(stream_names_buffer_.end(), text.begin(), text.end());
  stream_names_bytes_ += raw.size() + text.size();
  if (stream_names_buffer_.size() < buffer_bytes) return;
  stream_names_.append(stream_names_buffer_.data(), stream_names_buffer_.size());
  stream_names_buffer_.clear();
}

void VolumeLayout::file(const NameEntry& name) {
  index_.add(name_key(name.parent, upcase_simple(name.name), name.name), encode_name(name));
}

void VolumeLayout::kept(std::uint64_t lcn, std::uint64_t clusters) { kept_runs_.add({lcn, clusters, 0, {}}); }

void VolumeLayout::allocated(std::uint64_t lcn, std::uint64_t clusters) {
  allocated_buffer_.push_back(lcn);
  allocated_buffer_.push_back(clusters);
  allocated_clusters_ += clusters;
  if (allocated_buffer_.size() * sizeof(std::uint64_t) >= buffer_bytes) {
    allocated_.append(allocated_buffer_.data(), allocated_buffer_.size() * sizeof(std::uint64_t));
    allocated_buffer_.clear();
  }
}

void VolumeLayout::done(const crack::VolumeTotals& totals) {
  totals_ = totals;
  flush_record();
  allocated_.append(allocated_buffer_.data(), allocated_buffer_.size() * sizeof(std::uint64_t));
  allocated_buffer_.clear();
  stream_names_.append(stream_names_buffer_.data(), stream_names_buffer_.size());
  stream_names_buffer_.clear();
}

struct VolumeLayout::Covers {
  Cover log, pagefile, hiberfil, bitmap;
};

void VolumeLayout::classify_gap(std::uint64_t begin, std::uint64_t end, const VolumeKeep& keep, Covers& covers,
                                const Visitor& visitor) const {
  const std::uint64_t cluster = facts_.cluster_bytes;
  const auto whole = [cluster](std::uint64_t from, std::uint64_t to) {
    return ByteRange{from * cluster, (to - from) * cluster};
  };
  while (begin < end) {
    const auto [named_by_log, log_end] = covers.log.at(begin, end);
    const auto [in_pagefile, pagefile_end] = covers.pagefile.at(begin, log_end);
    const auto [in_hiberfil, hiberfil_end] = covers.hiberfil.at(begin, pagefile_end);
    const auto [is_allocated, until] = covers.bitmap.at(begin, hiberfil_end);
    const bool excluded = (in_pagefile && !keep.pagefile) || (in_hiberfil && !keep.hiberfil);
    if (named_by_log)
      visitor.remainder(whole(begin, until));
    else if (excluded)
      visitor.skip(whole(begin, until), MapKind::excluded);
    else if (is_allocated || in_pagefile || in_hiberfil || keep.free)
      visitor.remainder(whole(begin, until));
    else
      visitor.skip(whole(begin, until), MapKind::free);
    begin = until;
  }
}

void VolumeLayout::assemble(const VolumeKeep& keep, const Visitor& visitor) {
  const auto cover_of = [](RunSorter& sorter) {
    sorter.rewind();
    return Cover([&sorter]() -> std::optional<std::pair<std::uint64_t, std::uint64_t>> {
      if (const auto run = sorter.next()) return std::pair{run->lcn, run->clusters};
      return std::nullopt;
    });
  };
  std::uint64_t read_at = 0;
  std::vector<std::uint64_t> pairs;
  std::size_t pair = 0;
  const auto next_allocated = [&]() -> std::optional<std::pair<std::uint64_t, std::uint64_t>> {
    if (pair == pairs.size()) {
      const std::uint64_t take = std::min<std::uint64_t>(buffer_bytes, allocated_.size() - read_at);
      if (take == 0) return std::nullopt;
      pairs.resize(static_cast<std::size_t>(take) / sizeof(std::uint64_t));
      allocated_.read(read_at, pairs.data(), static_cast<std::size_t>(take));
      read_at += take;
      pair = 0;
    }
    pair += 2;
    return std::pair{pairs[pair - 2], pairs[pair - 1]};
  };
  Covers covers{cover_of(kept_runs_), cover_of(pagefile_runs_), cover_of(hiberfil_runs_), Cover(next_allocated)};

  const std::uint64_t cluster = facts_.cluster_bytes;
  clipped_bytes_.clear();
  overlapping_clusters_ = 0;
  std::uint64_t at = 0;
  runs_.rewind();
  while (const auto run = runs_.next()) {
    const std::uint64_t run_end = run->lcn + run->clusters;
    const std::uint64_t begin = std::max(at, run->lcn);
    const std::uint64_t lost = std::min(run_end, begin) - run->lcn;
    if (lost > 0) {
      overlapping_clusters_ += lost;
      if (clipped_bytes_.size() < clipped_streams_max) clipped_bytes_[run->stream.name_at] += lost * cluster;
    }
    if (begin >= run_end) continue;
    if (begin > at) classify_gap(at, begin, keep, covers, visitor);
    visitor.piece(run->stream, (run->stream_cluster + (begin - run->lcn)) * cluster,
                  {begin * cluster, (run_end - begin) * cluster});
    at = run_end;
  }
  if (at < facts_.clusters) classify_gap(at, facts_.clusters, keep, covers, visitor);
}

ByteView VolumeLayout::name_bytes(std::uint64_t at, std::size_t length) {
  if (at < names_read_at_ || at + length > names_read_at_ + names_read_.size()) {
    names_read_at_ = at;
    const std::uint64_t rest = stream_names_.size() - at;
    names_read_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(std::max(buffer_bytes, length), rest)));
    stream_names_.read(at, names_read_.data(), names_read_.size());
  }
  return ByteView(names_read_).subspan(static_cast<std::size_t>(at - names_read_at_), length);
}

StreamInfo VolumeLayout::stream_info(const StreamKey& key) {
  StreamNameHeader header;
  std::memcpy(&header, name_bytes(key.name_at, sizeof header).data(), sizeof header);
  StreamInfo info;
  info.record = header.record;
  info.attribute_type = header.attribute_type;
  info.bytes = header.bytes;
  if (header.name_units > 0) {
    info.name.resize(header.name_units);
    const ByteView name = name_bytes(key.name_at + sizeof header, header.name_units * sizeof(char16_t));
    std::memcpy(info.name.data(), name.data(), name.size());
  }
  if (const auto clipped = clipped_bytes_.find(key.name_at); clipped != clipped_bytes_.end())
    info.bytes -= std::min(info.bytes, clipped->second);
  return info;
}

void VolumeLayout::file_index(const std::function<void(ByteView, ByteView)>& visit) {
  Bytes last;
  bool first = true;
  index_.visit([&](ByteView key, ByteView value) {
    // Two equal names in one directory: a corrupt or hostile volume. The first stays.
    if (!first && std::ranges::equal(key, last)) return;
    first = false;
    last.assign(key.begin(), key.end());
    visit(key, value);
  });
}

}  // namespace vmferry::backup
