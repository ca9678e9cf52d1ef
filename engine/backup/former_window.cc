#include "engine/backup/former_window.h"

#include <algorithm>

namespace vmferry::backup {
namespace {

constexpr std::size_t cuts_max = 2048;                   // of 64 KiB on the average: 128 MiB of the stream
constexpr std::uint64_t ahead_bytes = 16u << 20;

}  // namespace

void FormerWindow::begin(FormerCuts* former, bool complete) {
  former_ = former;
  complete_ = complete;
  at_end_ = former == nullptr;
  cuts_.clear();
  at_ = 0;
  indexed_ = false;
  by_id_.clear();
}

void FormerWindow::remember(const FormerCut& cut) {
  if (!cuts_.empty() && cuts_.back().offset == cut.offset) {  // it may have grown
    cuts_.back() = cut;
    return;
  }
  if (cuts_.size() == cuts_max && at_ > 0) {
    if (indexed_) {
      const auto oldest = by_id_.find(cuts_.front().id);
      if (oldest != by_id_.end() && oldest->second == cuts_.front().offset) by_id_.erase(oldest);
    }
    cuts_.pop_front();
    --at_;
  }
  cuts_.push_back(cut);
  if (indexed_ && cut.kind == FormerCut::Kind::chunk) by_id_.insert_or_assign(cut.id, cut.offset);
}

// Cut by cut, so that none is passed over: a chunk of today may cover several.
const FormerCut* FormerWindow::covering(std::uint64_t position) {
  while (true) {
    while (at_ + 1 < cuts_.size() && cuts_[at_].end() <= position) ++at_;
    const bool covers = at_ < cuts_.size() && cuts_[at_].offset <= position && position < cuts_[at_].end();
    if (covers && !cuts_[at_].open) return &cuts_[at_];
    if (at_end_) return nullptr;
    const bool open = !cuts_.empty() && cuts_.back().open;
    const FormerCut* cut = former_->covering(cuts_.empty() ? 0 : open ? cuts_.back().offset : cuts_.back().end());
    if (cut == nullptr) {
      at_end_ = complete_;  // by place, more of it may become known
      return nullptr;
    }
    const bool grew = !open || cut->end() != cuts_.back().end() || !cut->open;
    remember(*cut);
    if (covers) return &cuts_[at_];
    if (!grew) return nullptr;
  }
}

void FormerWindow::look_ahead(std::uint64_t until) {
  if (!complete_) return;
  while (!at_end_ && (cuts_.empty() || cuts_.back().end() < until) && cuts_.size() - at_ < cuts_max / 2) {
    const FormerCut* cut = former_->covering(cuts_.empty() ? 0 : cuts_.back().end());
    if (cut == nullptr) {
      at_end_ = true;
      return;
    }
    remember(*cut);
  }
}

std::size_t FormerWindow::index_of(std::uint64_t position) const {
  const auto after = std::upper_bound(cuts_.begin(), cuts_.end(), position,
                                      [](std::uint64_t a, const FormerCut& b) { return a < b.offset; });
  return after == cuts_.begin() ? cuts_.size() : static_cast<std::size_t>(after - cuts_.begin()) - 1;
}

std::optional<std::uint64_t> FormerWindow::find(const ChunkId& id, std::int64_t expected) {
  if (former_ == nullptr) return std::nullopt;
  const std::uint64_t here = expected < 0 ? 0 : static_cast<std::uint64_t>(expected);
  look_ahead(here + ahead_bytes);
  const std::size_t there = index_of(here);
  if (there < cuts_.size() && cuts_[there].offset == here && cuts_[there].kind == FormerCut::Kind::chunk &&
      cuts_[there].id == id)
    return here;
  if (!indexed_) {
    indexed_ = true;
    for (const FormerCut& cut : cuts_)
      if (cut.kind == FormerCut::Kind::chunk) by_id_.insert_or_assign(cut.id, cut.offset);
  }
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  return found->second;
}

void FormerWindow::overlapping(std::uint64_t begin, std::uint64_t end,
                               const std::function<void(const FormerCut&)>& use) {
  if (former_ == nullptr || begin >= end) return;
  look_ahead(end);
  std::size_t i = index_of(begin);
  if (i == cuts_.size()) i = 0;  // what is left of the window begins later
  for (; i < cuts_.size() && cuts_[i].offset < end; ++i)
    if (cuts_[i].end() > begin && cuts_[i].kind != FormerCut::Kind::gap) use(cuts_[i]);
}

}  // namespace vmferry::backup
