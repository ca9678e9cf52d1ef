#include "engine/backup/former_cuts.h"

#include <algorithm>

#include "protocol/limits.h"

namespace vmferry::backup {

void FormerSequence::append(const ByteRange& disk) {
  if (disk.length == 0) return;
  if (!ranges_.empty() && ranges_.back().end() == disk.offset)
    ranges_.back().length += disk.length;
  else
    ranges_.push_back(disk);
}

void FormerSequence::look_ahead() {
  while (!ahead_ && !ranges_.empty()) {
    ByteRange& range = ranges_.front();
    MapEntry slice;
    if (range.offset < map_.disk_bytes()) {
      slice = map_.at(range.offset);
      slice.disk.length = std::min(slice.disk.length, range.length);
    } else {  // the disk was smaller
      slice = MapEntry{range, MapKind::hole, {}, 0};
    }
    range.offset += slice.disk.length;
    range.length -= slice.disk.length;
    if (range.length == 0) ranges_.pop_front();
    if (others_ == Others::skip && slice.kind != MapKind::data && slice.kind != MapKind::zero) continue;
    ahead_ = slice;
  }
}

void FormerSequence::advance() {
  const std::uint64_t position = current_ ? current_->end() : 0;
  current_.reset();
  look_ahead();
  if (!ahead_) {
    current_ = FormerCut{position, 0, FormerCut::Kind::gap, false, false, 0, {}};
    return;
  }
  FormerCut cut{position, ahead_->disk.length, FormerCut::Kind::gap, false, false, 0, {}};
  if (ahead_->kind == MapKind::data) {
    cut.kind = ahead_->chunk_offset == 0 ? FormerCut::Kind::chunk : FormerCut::Kind::partial;
    cut.id = ahead_->chunk;
    cut.chunk_offset = ahead_->chunk_offset;
  }
  ahead_.reset();
  current_ = cut;
}

void FormerSequence::extend() {
  while (true) {
    look_ahead();
    current_->open = !ahead_;
    if (!ahead_) return;
    const bool data = ahead_->kind == MapKind::data;
    if (data != (current_->kind != FormerCut::Kind::gap)) return;
    if (data && (ahead_->chunk != current_->id || ahead_->chunk_offset != current_->chunk_offset + current_->length ||
                 current_->length > limits::chunk_size_max))
      return;
    current_->length += ahead_->disk.length;
    ahead_.reset();
  }
}

const FormerCut* FormerSequence::covering(std::uint64_t position) try {
  if (!current_) advance();
  while (true) {
    if (current_->length > 0) extend();
    if (position < current_->end()) return &*current_;
    look_ahead();
    if (!ahead_) return nullptr;
    advance();
  }
} catch (const Error& error) {
  throw_former_unreadable(error);
}

void throw_former_unreadable(const Error& error) {
  if (error.code() == ErrorCode::damaged || error.code() == ErrorCode::malformed || error.code() == ErrorCode::not_found)
    throw FormerUnreadable(error.code(), "the former restore point cannot be read", {}, error.what());
  throw;
}

FormerFileCuts::FormerFileCuts(FormerMap& map, const std::vector<ByteRange>& disk_ranges)
    : sequence_(map, FormerSequence::Others::skip) {
  for (const ByteRange& range : disk_ranges) sequence_.append(range);
}

const FormerCut* FormerFileCuts::covering(std::uint64_t position) {
  const FormerCut* found = sequence_.covering(position);
  if (found == nullptr) return nullptr;
  cut_ = *found;
  cut_.stream_end = cut_.open;  // all of the ranges are known
  cut_.open = false;
  return &cut_;
}

}  // namespace vmferry::backup
