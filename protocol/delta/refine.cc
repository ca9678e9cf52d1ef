#include "protocol/delta/refine.h"

#include <algorithm>

#include "protocol/delta/fine_sums.h"

namespace vmferry::delta {
namespace {

// Two bytes prove little: a fine block that stands alone is believed only beside a copy at the same distance.
constexpr std::size_t alone_blocks_min = 2;

struct Gap {
  std::uint32_t begin = 0, end = 0;
  const Copy* before = nullptr;
  const Copy* after = nullptr;
};

// A place in the basis that content may have come from: basis position - content position.
using Distance = std::int64_t;

Distance distance_of(const Copy& copy) { return std::int64_t{copy.from} - copy.at; }

class Refiner {
 public:
  Refiner(ByteView content, std::span<const BasisPart> basis, std::vector<Copy>& found)
      : content_(content), basis_(basis), found_(found) {
    std::uint32_t from = 0;
    for (const BasisPart& part : basis) {
      begins_.push_back(from);
      from += part.signature.basis_bytes();
    }
    basis_bytes_ = from;
  }

  void fill(const Gap& gap) {
    distances_.clear();
    if (gap.before != nullptr) propose(distance_of(*gap.before));
    if (gap.after != nullptr) propose(distance_of(*gap.after));
    for (std::size_t i = 0; i < basis_.size(); ++i) {
      if (!basis_[i].expected_at) continue;
      const std::int64_t at = *basis_[i].expected_at;
      if (at < std::int64_t{gap.end} && at + basis_[i].signature.basis_bytes() > std::int64_t{gap.begin})
        propose(std::int64_t{begins_[i]} - at);
    }
    open_.assign(1, gap);
    for (const Distance distance : distances_) {
      still_open_.clear();
      for (const Gap& piece : open_) compare(piece, distance);
      open_.swap(still_open_);
    }
  }

 private:
  static constexpr std::size_t distances_max = 6;

  void propose(Distance distance) {
    if (distances_.size() < distances_max && std::ranges::find(distances_, distance) == distances_.end())
      distances_.push_back(distance);
  }

  // Fine blocks of the basis that lie in the piece at this distance; runs of equal ones become copies.
  void compare(const Gap& piece, Distance distance) {
    const std::int64_t begin = std::max<std::int64_t>(piece.begin + distance, 0);
    const std::int64_t end = std::min<std::int64_t>(piece.end + distance, basis_bytes_);
    std::uint32_t covered = piece.begin;
    std::uint32_t run_begin = 0, run_end = 0;  // in the content
    std::size_t run_blocks = 0;
    const auto finish_run = [&] {
      const bool beside_before = piece.before != nullptr && run_begin == piece.begin && distance_of(*piece.before) == distance;
      const bool beside_after = piece.after != nullptr && run_end == piece.end && distance_of(*piece.after) == distance;
      if (run_blocks >= alone_blocks_min || (run_blocks > 0 && (beside_before || beside_after))) {
        leave(piece, covered, run_begin);
        found_.push_back({run_begin, static_cast<std::uint32_t>(run_begin + distance), run_end - run_begin});
        covered = run_end;
      }
      run_blocks = 0;
    };
    if (begin < end) {
      auto part = static_cast<std::size_t>(std::upper_bound(begins_.begin(), begins_.end(), begin) - begins_.begin()) - 1;
      for (; part < basis_.size() && begins_[part] < end; ++part) {
        const SignatureView& signature = basis_[part].signature;
        const std::uint32_t step = signature.parameters.fine_bytes;
        if (step == 0) continue;
        const std::int64_t from = begins_[part];
        auto block = static_cast<std::size_t>((std::max<std::int64_t>(begin - from, 0) + step - 1) / step);
        for (; block < signature.fine_blocks(); ++block) {
          const std::int64_t block_from = from + static_cast<std::int64_t>(block * step);
          const std::uint32_t length = signature.fine_block_bytes(block);
          if (block_from + length > end) break;
          const auto at = static_cast<std::uint32_t>(block_from - distance);
          if (fine_sum(content_.subspan(at, length)) != signature.fine_sum(block)) {
            finish_run();
            continue;
          }
          if (run_blocks > 0 && run_end != at) finish_run();
          if (run_blocks == 0) run_begin = at;
          run_end = at + length;
          ++run_blocks;
        }
      }
      finish_run();
    }
    leave(piece, covered, piece.end);
  }

  void leave(const Gap& piece, std::uint32_t begin, std::uint32_t end) {
    if (begin < end)
      still_open_.push_back({begin, end, begin == piece.begin ? piece.before : nullptr, end == piece.end ? piece.after : nullptr});
  }

  ByteView content_;
  std::span<const BasisPart> basis_;
  std::vector<Copy>& found_;
  std::vector<std::uint32_t> begins_;
  std::int64_t basis_bytes_ = 0;
  std::vector<Distance> distances_;
  std::vector<Gap> open_, still_open_;
};

}  // namespace

void refine(ByteView content, std::span<const BasisPart> basis, std::vector<Copy>& copies) {
  if (std::ranges::none_of(basis, [](const BasisPart& part) { return part.signature.fine_blocks() > 0; })) return;
  std::vector<Copy> found;
  Refiner refiner(content, basis, found);
  std::uint32_t covered = 0;
  for (std::size_t i = 0; i <= copies.size(); ++i) {
    const auto end = i < copies.size() ? copies[i].at : static_cast<std::uint32_t>(content.size());
    if (covered < end)
      refiner.fill({covered, end, i > 0 ? &copies[i - 1] : nullptr, i < copies.size() ? &copies[i] : nullptr});
    if (i < copies.size()) covered = copies[i].at + copies[i].length;
  }
  if (found.empty()) return;
  found.insert(found.end(), copies.begin(), copies.end());
  std::ranges::sort(found, {}, &Copy::at);
  copies.clear();
  for (const Copy& copy : found) append_joined(copies, copy);
}

}  // namespace vmferry::delta
