#include "engine/backup/delta_run.h"

#include <algorithm>

namespace vmferry::backup {
namespace {

constexpr std::uint64_t run_bytes_max = 512u << 10;       // about a frame: each frame names the basis of all of its runs
constexpr std::uint64_t basis_longer_max = 1u << 20;      // than the run: more was deleted there than a delta wants
constexpr std::uint64_t margin_bytes = 16u << 10;         // past a run that ended for its length
constexpr std::size_t basis_parts_max = 128;

}  // namespace

void RunBuilder::begin(FormerWindow* window) {
  close();
  window_ = window;
  shift_ = 0;
}

void RunBuilder::fill(std::uint64_t former_begin, std::uint64_t former_end, std::int64_t shift_after) {
  const std::uint64_t middle = former_begin + (former_end - former_begin) / 2;
  window_->overlapping(former_begin, former_end, [&](const FormerCut& cut) {
    if (run_->basis.size() == basis_parts_max) return;
    const std::int64_t shift = cut.offset < middle ? shift_ : shift_after;
    run_->basis.push_back({cut.id, static_cast<std::int64_t>(cut.offset) - cut.chunk_offset - shift, nullptr});
  });
}

void RunBuilder::close() {
  if (!run_) return;
  const std::int64_t begin = static_cast<std::int64_t>(run_begin_) + shift_;
  const std::int64_t end = static_cast<std::int64_t>(run_end_ + margin_bytes) + shift_;
  if (end > 0) fill(static_cast<std::uint64_t>(std::max<std::int64_t>(begin, 0)), static_cast<std::uint64_t>(end), shift_);
  run_.reset();
}

void RunBuilder::close_before(std::uint64_t former_next, std::uint64_t position) {
  const std::int64_t shift_after = static_cast<std::int64_t>(former_next) - static_cast<std::int64_t>(position);
  if (run_) {
    const std::int64_t begin = static_cast<std::int64_t>(run_begin_) + shift_;
    const auto length = static_cast<std::int64_t>(former_next) - begin;
    if (begin >= 0 && length > 0 &&
        static_cast<std::uint64_t>(length) <= run_end_ - run_begin_ + basis_longer_max) {
      fill(static_cast<std::uint64_t>(begin), former_next, shift_after);
      run_.reset();
    } else {
      close();
    }
  }
  shift_ = shift_after;
}

void RunBuilder::same_place(std::uint64_t position) { close_before(position, position); }
void RunBuilder::skip() { close(); }

RunBuilder::Placed RunBuilder::place(const ChunkId& id, std::uint64_t position, std::uint32_t length) {
  if (window_ == nullptr) return {};
  if (const auto former = window_->find(id, static_cast<std::int64_t>(position) + shift_)) {
    close_before(*former, position);
    return {true, nullptr};
  }
  if (run_ && run_end_ - run_begin_ + length > run_bytes_max) close();
  if (!run_) {
    run_ = std::make_shared<DeltaRun>();
    run_begin_ = position;
  }
  run_end_ = position + length;
  return {false, run_};
}

}  // namespace vmferry::backup
