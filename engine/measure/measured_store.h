// MeasuredStore: what a target would have after some nights: the ids of its chunks, at 16 bytes each (keyed BLAKE3:
// nobody can choose them), and its newest point. No content. A store may lie on another one, which it does not change:
// so a night can be tried and forgotten. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "protocol/chunk_id.h"
#include "protocol/point.h"

namespace vmferry::measure {

class MeasuredStore {
 public:
  explicit MeasuredStore(const MeasuredStore* below = nullptr) : below_(below), slots_(slots_min) {}

  bool contains(const ChunkId& id) const;
  void add(const ChunkId& id);
  std::uint64_t chunks() const noexcept { return count_ + (below_ != nullptr ? below_->chunks() : 0); }

  // Numbers the point as a target does.
  RestorePoint add_point(RestorePoint point);
  const RestorePoint* newest_point() const noexcept;

 private:
  using Slot = std::array<std::uint64_t, 2>;
  static constexpr std::size_t slots_min = 1024;

  static Slot key_of(const ChunkId& id) noexcept;
  std::size_t find(const Slot& key) const noexcept;
  void grow();

  const MeasuredStore* below_;
  std::vector<Slot> slots_;
  std::uint64_t count_ = 0;
  std::optional<RestorePoint> newest_;
};

}  // namespace vmferry::measure
