// StreamReader: reads a disk's streams into slabs, ahead of the chunk step. The plan (which pieces go where) is made in
// stream order; the slabs are read by a few threads, each in disk order, and come out in stream order again.
// next() belongs to one thread. Destroying it stops and joins its threads.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "engine/backup/layout.h"
#include "engine/backup/slab.h"
#include "engine/disk/disk.h"

namespace vmferry::backup {

class StreamReader {
 public:
  StreamReader(const disk::Disk& disk, StreamWalker& walker, SlabPool& pool, unsigned threads, std::size_t slabs_ahead);
  ~StreamReader();
  StreamReader(const StreamReader&) = delete;
  StreamReader& operator=(const StreamReader&) = delete;

  enum class Outcome { slab, end, not_yet };
  // not_yet: after `wait` there was none. Throws what reading threw.
  Outcome next(SlabPointer& slab, std::chrono::milliseconds wait);

 private:
  void read_loop();
  bool plan(Slab& slab);
  void read(Slab& slab) const;
  void fail(std::exception_ptr error);

  const disk::Disk& disk_;
  StreamWalker& walker_;
  SlabPool& pool_;
  const std::size_t slabs_ahead_;
  std::atomic<bool> stop_{false};

  std::mutex plan_mutex_;  // the walker and what is left of its current stream
  std::optional<StreamInfo> stream_;
  std::optional<ByteRange> piece_;
  bool stream_begins_ = false;
  std::uint64_t planned_ = 0;
  bool walker_done_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, SlabPointer> ready_;
  std::uint64_t next_ = 0;
  std::optional<std::uint64_t> end_;  // the number of slabs, once it is known
  std::exception_ptr error_;

  std::vector<std::thread> threads_;
};

}  // namespace vmferry::backup
