#include "engine/backup/stream_cutter.h"

#include <algorithm>

namespace vmferry::backup {

StreamCutter::StreamCutter(const Chunker& chunker, const DomainKey& key)
    : chunker_(chunker), key_(key), size_max_(chunker.parameters().size_max) {
  const Bytes zeros(size_max_);
  zero_cut_ = chunker_.next_cut(zeros);
}

void StreamCutter::begin(FormerCuts* former, CutRule rule) {
  former_ = former;
  rule_ = rule;
  position_ = 0;
}

StreamCutter::Cut StreamCutter::taken(Cut cut) {
  position_ += cut.length;
  return cut;
}

// FastCDC cuts zeros always at the same length, so this needs no rolling.
std::optional<StreamCutter::Cut> StreamCutter::zeros(ByteView bytes, bool ended, const FormerCut* former) {
  if (keep_zeros_ || bytes[0] != std::byte{0}) return std::nullopt;
  std::size_t length = zero_cut_;
  if (former != nullptr && rule_ == CutRule::as_former)
    length = static_cast<std::size_t>(std::min<std::uint64_t>(length, former->end() - position_));
  if (length > bytes.size()) {
    if (!ended) return std::nullopt;
    length = bytes.size();
  }
  if (!all_zero(bytes.first(length))) return std::nullopt;
  return Cut{static_cast<std::uint32_t>(length), true, false, {}};
}

std::optional<StreamCutter::Cut> StreamCutter::next(ByteView bytes, bool ended) {
  if (bytes.empty()) return std::nullopt;
  const FormerCut* former = former_ != nullptr ? former_->covering(position_) : nullptr;
  if (former != nullptr && former->open && !ended && bytes.size() < size_max_) return std::nullopt;
  if (const auto cut = zeros(bytes, ended, former)) return taken(*cut);

  std::size_t hashed_length = 0;
  ChunkId hashed_id;
  if (former != nullptr && former->kind == FormerCut::Kind::chunk && former->offset == position_ &&
      former->length <= size_max_ && (former->length <= bytes.size() || !ended)) {
    const auto length = static_cast<std::size_t>(former->length);
    if (length > bytes.size()) return std::nullopt;
    bool same_cut = true;
    // A cut that the former stream's end made is a cut again only at this stream's end. One at the maximum is FastCDC's.
    if (rule_ == CutRule::exact && former->stream_end && length < size_max_) {
      if (length == bytes.size() && !ended) return std::nullopt;
      same_cut = length == bytes.size();
    }
    if (same_cut) {
      hashed_length = length;
      hashed_id = chunk_id_of(key_, bytes.first(length));
      const bool known = hashed_id == former->id;
      if (known || rule_ == CutRule::as_former)
        return taken(Cut{static_cast<std::uint32_t>(length), false, known, hashed_id});
    }
  }

  std::size_t limit = std::min(bytes.size(), size_max_);
  bool limited = ended || bytes.size() >= size_max_;
  if (former != nullptr && rule_ == CutRule::as_former && former->end() - position_ <= limit) {
    limit = static_cast<std::size_t>(former->end() - position_);
    limited = true;
  }
  if (!limited) return std::nullopt;
  // A slice of a former chunk stays one piece; what was no data before is cut by content.
  const bool whole = former != nullptr && rule_ == CutRule::as_former && former->kind != FormerCut::Kind::gap;
  const std::size_t length = whole ? limit : chunker_.next_cut(bytes.first(limit));
  const ChunkId id = length == hashed_length ? hashed_id : chunk_id_of(key_, bytes.first(length));
  return taken(Cut{static_cast<std::uint32_t>(length), false, false, id});
}

}  // namespace vmferry::backup
