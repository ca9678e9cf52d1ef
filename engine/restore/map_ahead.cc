#include "engine/restore/map_ahead.h"

#include <utility>
#include <vector>

namespace vmferry::restore {
namespace {

constexpr std::size_t entries_at_once = 64;  // handed over together

}  // namespace

MapAhead::MapAhead(const PointDisk& disk, ChunkSource& chunks)
    : map_(disk.image_map, disk.size_bytes, chunks, TreeWalk::onwards), thread_([this] { work(); }) {}

MapAhead::~MapAhead() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void MapAhead::work() {
  std::exception_ptr failure;
  bool ended = false;
  std::vector<MapEntry> some;
  while (!ended) {
    some.clear();
    try {
      while (!ended && some.size() < entries_at_once) {
        const std::optional<MapEntry> entry = map_.next();
        ended = !entry;
        if (entry) some.push_back(*entry);
      }
    } catch (...) {
      failure = std::current_exception();
      ended = true;
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopping_ || entries_.size() < entries_max; });
    if (stopping_) return;
    entries_.insert(entries_.end(), some.begin(), some.end());
    failure_ = std::exchange(failure, nullptr);
    ended_ = ended;
    changed_.notify_all();
  }
}

std::optional<MapEntry> MapAhead::take() {
  if (entries_.empty()) return std::nullopt;
  const MapEntry entry = entries_.front();
  entries_.pop_front();
  if (entries_.size() == entries_max / 2) changed_.notify_all();
  return entry;
}

std::optional<MapEntry> MapAhead::next_if_there() {
  const std::lock_guard lock(mutex_);
  return take();
}

std::optional<MapEntry> MapAhead::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ended_ || !entries_.empty(); });
  if (entries_.empty() && failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  return take();
}

}  // namespace vmferry::restore
