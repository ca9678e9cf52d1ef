// MapAhead: the entries of a disk's image map in disk order, read well ahead of their use by a thread of its own, so that
// who writes a disk need not wait for the map's nodes while chunks could be asked for. It begins when it is made, and its
// destruction waits for the nodes that are under way. Memory: entries_max entries and a path of nodes.
// One other thread uses it.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "protocol/image_map.h"
#include "protocol/point.h"

namespace vmferry::restore {

class MapAhead {
 public:
  MapAhead(const PointDisk& disk, ChunkSource& chunks);
  ~MapAhead();

  // An entry that was read already; nullopt: none, just now or any more.
  std::optional<MapEntry> next_if_there();
  // Waits for the next one; nullopt at the disk's end. Throws what reading the map threw.
  std::optional<MapEntry> next();

 private:
  void work();
  std::optional<MapEntry> take();  // under mutex_

  static constexpr std::size_t entries_max = 65536;
  ImageMapReader map_;  // the thread's
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<MapEntry> entries_;
  bool ended_ = false;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace vmferry::restore
