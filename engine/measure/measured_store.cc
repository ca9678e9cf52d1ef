#include "engine/measure/measured_store.h"

#include <utility>

namespace vmferry::measure {

MeasuredStore::Slot MeasuredStore::key_of(const ChunkId& id) noexcept {
  Slot key;
  std::memcpy(key.data(), id.bytes.data(), sizeof key);
  if (key == Slot{}) key[0] = 1;  // all zero marks an empty slot
  return key;
}

// Its slot, or the empty one where it belongs.
std::size_t MeasuredStore::find(const Slot& key) const noexcept {
  std::size_t at = key[0] & (slots_.size() - 1);
  while (slots_[at] != Slot{} && slots_[at] != key) at = (at + 1) & (slots_.size() - 1);
  return at;
}

bool MeasuredStore::contains(const ChunkId& id) const {
  const Slot key = key_of(id);
  return slots_[find(key)] == key || (below_ != nullptr && below_->contains(id));
}

void MeasuredStore::add(const ChunkId& id) {
  if (contains(id)) return;
  const Slot key = key_of(id);
  slots_[find(key)] = key;
  ++count_;
  if (count_ * 4 > slots_.size() * 3) grow();
}

void MeasuredStore::grow() {
  const std::vector<Slot> before = std::exchange(slots_, std::vector<Slot>(slots_.size() * 2));
  for (const Slot& key : before)
    if (key != Slot{}) slots_[find(key)] = key;
}

const RestorePoint* MeasuredStore::newest_point() const noexcept {
  if (newest_) return &*newest_;
  return below_ != nullptr ? below_->newest_point() : nullptr;
}

RestorePoint MeasuredStore::add_point(RestorePoint point) {
  const RestorePoint* former = newest_point();
  point.number = former != nullptr ? former->number + 1 : 1;
  point.arrived_ms = point.taken_ms;
  newest_ = std::move(point);
  return *newest_;
}

}  // namespace vmferry::measure
