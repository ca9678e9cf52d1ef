// ChunkSet: ids that a session has already offered, so that a chunk that occurs twice is offered once. Bounded: a
// full set says "not there", and the chunk is offered again. It keeps 16 bytes of each id (keyed BLAKE3: nobody can
// choose them). One thread.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "protocol/chunk_id.h"

namespace vmferry {

class ChunkSet {
 public:
  explicit ChunkSet(std::size_t ids_max) : ids_max_(ids_max), slots_(1024) {}

  // True where it was not there (or does not fit any more).
  bool insert(const ChunkId& id) {
    const Slot key = key_of(id);
    const std::size_t at = find(key);
    if (slots_[at] == key) return false;
    if (count_ == ids_max_) return true;
    slots_[at] = key;
    ++count_;
    if (count_ * 2 > slots_.size()) grow();
    return true;
  }

 private:
  using Slot = std::array<std::uint64_t, 2>;

  static Slot key_of(const ChunkId& id) {
    Slot key;
    std::memcpy(key.data(), id.bytes.data(), sizeof key);
    if (key == Slot{}) key[0] = 1;  // all zero marks an empty slot
    return key;
  }
  std::size_t find(const Slot& key) const {
    std::size_t at = static_cast<std::size_t>(key[0]) & (slots_.size() - 1);
    while (slots_[at] != Slot{} && slots_[at] != key) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& key : old)
      if (key != Slot{}) slots_[find(key)] = key;
  }

  std::size_t ids_max_;
  std::size_t count_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace vmferry
