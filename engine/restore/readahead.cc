#include "engine/restore/readahead.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "engine/restore/tree_sweep.h"
#include "protocol/error.h"
#include "protocol/image_map.h"

namespace vmferry::restore {
namespace {

constexpr std::uint64_t piece_bytes_max = 16u << 20;    // as the ranges tell; asked for together
constexpr std::size_t piece_ranges_max = 8192;
constexpr std::uint64_t look_up_bytes_max = 64u << 20;  // looked up in the map together
constexpr std::size_t look_up_ranges_max = 16384;

KeyRange keys_of(const ByteRange& range) {
  const auto key = [](std::uint64_t offset) {
    ByteWriter writer;
    writer.u64_big_endian(offset);
    return std::move(writer).take();
  };
  return {key(range.offset), key(range.end() - 1)};
}

}  // namespace

// What is brought together.
struct Readahead::Piece {
  std::uint64_t end = 0;  // place
  std::uint64_t bytes = 0;
  bool is_done = false;
};

struct Readahead::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<ByteRange> waiting;              // planned, not begun
  std::uint64_t begun = 0;                    // places
  std::uint64_t read_to = 0;                  // the furthest place that the reader came to
  std::deque<std::shared_ptr<Piece>> pieces;  // begun; those that are done and behind the reader are gone
  std::uint64_t ahead_bytes = 0;              // of pieces
  std::unordered_set<ChunkId> on_the_way;
  bool stopping = false;
  CachingSource* chunks = nullptr;            // null: abandoned

  void release_behind() {
    while (!pieces.empty() && pieces.front()->is_done && pieces.front()->end <= read_to) {
      ahead_bytes -= pieces.front()->bytes;
      pieces.pop_front();
    }
  }
  // Takes up to so much of what waits, from its begin; `consume`: it is begun then.
  std::vector<ByteRange> take(std::uint64_t bytes_max, std::size_t ranges_max, bool consume) {
    std::vector<ByteRange> taken;
    for (std::size_t i = 0; i < waiting.size() && bytes_max > 0 && taken.size() < ranges_max; ++i) {
      taken.push_back({waiting[i].offset, std::min(waiting[i].length, bytes_max)});
      bytes_max -= taken.back().length;
    }
    if (!consume) return taken;
    for (const ByteRange& range : taken) {
      begun += range.length;
      ByteRange& first = waiting.front();
      first = {range.end(), first.length - range.length};
      if (first.length == 0) waiting.pop_front();
    }
    return taken;
  }
};

Readahead::Readahead(const TreeRoot& image_map, target::TargetSession& session, CachingSource& nodes,
                     CachingSource& chunks, std::size_t window_bytes)
    : image_map_(image_map),
      session_(session),
      nodes_(nodes),
      window_bytes_(window_bytes),
      state_(std::make_shared<State>()),
      thread_([this] { work(); }) {
  const std::lock_guard lock(state_->mutex);
  state_->chunks = &chunks;
}

Readahead::~Readahead() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->chunks = nullptr;
  }
  state_->changed.notify_all();
  thread_.join();
}

// --- the reader

std::uint64_t Readahead::plan(const std::vector<ByteRange>& ranges) {
  Part part;
  std::vector<ByteRange> added;
  for (const ByteRange& range : ranges) {
    std::uint64_t next = 0;
    if (range.length == 0 || __builtin_add_overflow(planned_, range.length, &next)) continue;
    part.by_offset.push_back({range, std::exchange(planned_, next)});
    added.push_back(range);
  }
  if (added.empty()) return planned_;
  part.end = planned_;
  std::ranges::stable_sort(part.by_offset, {}, [](const Planned& planned) { return planned.range.offset; });
  parts_.push_back(std::move(part));
  {
    const std::lock_guard lock(state_->mutex);
    state_->waiting.insert(state_->waiting.end(), added.begin(), added.end());
  }
  state_->changed.notify_all();
  return planned_;
}

void Readahead::forget_before(std::uint64_t place) {
  while (!parts_.empty() && parts_.front().end <= place) parts_.pop_front();
  {
    const std::lock_guard lock(state_->mutex);
    State& state = *state_;
    state.read_to = std::max(state.read_to, place);
    while (state.begun < place && !state.waiting.empty()) state.take(place - state.begun, 1, true);
    state.release_behind();
  }
  state_->changed.notify_all();
}

std::optional<std::uint64_t> Readahead::place_of(std::uint64_t offset) const {
  for (const Part& part : parts_) {
    const auto after = std::ranges::upper_bound(part.by_offset, offset, {},
                                                [](const Planned& planned) { return planned.range.offset; });
    if (after == part.by_offset.begin()) continue;
    const Planned& planned = *std::prev(after);
    if (offset < planned.range.end()) return planned.place + (offset - planned.range.offset);
  }
  return std::nullopt;
}

void Readahead::await(std::uint64_t offset) {
  const std::optional<std::uint64_t> place = place_of(offset);
  if (!place) return;
  std::unique_lock lock(state_->mutex);
  if (*place > state_->read_to) {
    state_->read_to = *place;
    state_->release_behind();
    state_->changed.notify_all();
  }
  const State& state = *state_;
  state_->changed.wait(lock, [&] {
    if (state.begun <= *place) return false;
    for (const auto& piece : state.pieces) {
      if (!piece->is_done) return false;
      if (piece->end > *place) break;
    }
    return true;
  });
}

// --- the thread

void Readahead::work() {
  State& state = *state_;
  std::uint64_t looked_up = 0;  // place
  std::unique_lock lock(state.mutex);
  while (true) {
    state.changed.wait(lock, [&] {
      return state.stopping || (!state.waiting.empty() && state.ahead_bytes < window_bytes_);
    });
    if (state.stopping) return;
    if (state.begun >= looked_up) {
      const std::vector<ByteRange> ranges = state.take(look_up_bytes_max, look_up_ranges_max, false);
      looked_up = state.begun;
      for (const ByteRange& range : ranges) looked_up += range.length;
      lock.unlock();
      look_up(ranges);
      lock.lock();
      continue;  // the plan may have changed
    }
    const auto piece = std::make_shared<Piece>();
    const std::vector<ByteRange> ranges =
        state.take(std::min(piece_bytes_max, looked_up - state.begun), piece_ranges_max, true);
    piece->end = state.begun;
    state.pieces.push_back(piece);
    lock.unlock();
    bring(ranges, piece);
    lock.lock();
  }
}

// All of their nodes in as many round trips as the map has levels.
void Readahead::look_up(const std::vector<ByteRange>& ranges) {
  std::vector<KeyRange> keys;
  for (const ByteRange& range : ranges) keys.push_back(keys_of(range));
  try {
    sweep_tree(image_map_, nodes_, std::move(keys), [](const TreeEntry&) {});
  } catch (...) {  // the reader will find it too
  }
}

void Readahead::bring(const std::vector<ByteRange>& ranges, const std::shared_ptr<Piece>& piece) {
  std::vector<KeyRange> keys;
  for (const ByteRange& range : ranges) keys.push_back(keys_of(range));
  std::vector<ChunkId> ids;
  const auto end_piece = [state = state_, piece](const std::vector<ChunkId>& brought) {
    const std::lock_guard lock(state->mutex);
    for (const ChunkId& id : brought) state->on_the_way.erase(id);
    piece->is_done = true;
    state->release_behind();
    state->changed.notify_all();
  };
  try {
    std::vector<MapEntry> entries;
    sweep_tree(image_map_, nodes_, std::move(keys), [&](const TreeEntry& tree_entry) {
      const MapEntry entry = decode_map_entry(tree_entry.key, tree_entry.value);
      if (entry.kind == MapKind::data) entries.push_back(entry);
    });
    {
      const std::lock_guard lock(state_->mutex);
      for (const MapEntry& entry : entries) {
        if (state_->stopping || state_->chunks->contains(entry.chunk) || !state_->on_the_way.insert(entry.chunk).second)
          continue;
        ids.push_back(entry.chunk);
        piece->bytes += entry.chunk_offset + entry.disk.length;
      }
      state_->ahead_bytes += piece->bytes;
    }
    if (ids.empty()) return end_piece(ids);
    session_.fetch(
        ids,
        [state = state_](const ChunkId& id, ByteView content) {
          auto copy = std::make_shared<const Bytes>(content.begin(), content.end());
          const std::lock_guard lock(state->mutex);
          if (state->chunks != nullptr) state->chunks->insert(id, std::move(copy));
        },
        [end_piece, ids](std::exception_ptr) { end_piece(ids); });
  } catch (...) {  // the reader will find it too
    end_piece(ids);
  }
}

}  // namespace vmferry::restore
