// BlockTable: the blocks of one length in a basis, by their weak sums. Every search is bounded, whatever the sums
// are: of equal blocks only the first is kept, and where too many sums fall together, the later ones are not found.
// One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "protocol/delta/block_sums.h"

namespace vmferry::delta {

struct BasisBlock {
  std::uint32_t weak = 0;
  std::uint32_t from = 0;  // in the basis
  ByteView strong;

  bool has(const StrongSum& sum) const noexcept;
};

class BlockTable {
 public:
  // blocks: ascending by `from`, of block_bytes each; valid as long as the table is used.
  void build(std::span<const BasisBlock> blocks);

  // For WeakRoll: a bitmap that every block's weak sum passes, and 1 in 16 to 32 of the others.
  const std::uint32_t* filter() const noexcept { return filter_.data(); }
  unsigned filter_shift() const noexcept { return filter_shift_; }

  bool has(std::uint32_t weak) const noexcept;
  // The place in `blocks` of one with these sums.
  std::optional<std::size_t> find(std::uint32_t weak, const StrongSum& strong) const noexcept;
  // The place in `blocks` of the one that begins there.
  std::optional<std::size_t> at(std::int64_t from) const noexcept;

 private:
  struct Slot {
    std::uint32_t weak = 0;
    std::uint32_t block = 0;  // 1 + its place; 0: empty
  };
  std::size_t first_slot(std::uint32_t weak) const noexcept;
  void insert(std::uint32_t block);

  std::span<const BasisBlock> blocks_;
  std::vector<std::uint32_t> filter_;
  unsigned filter_shift_ = 0;
  std::vector<Slot> slots_;
  unsigned slot_shift_ = 0;
};

}  // namespace vmferry::delta
