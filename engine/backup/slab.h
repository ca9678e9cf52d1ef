// Slab: a large read buffer that chunks are slices of: it goes back to its pool when the last of them is gone, so
// nothing is allocated or copied per chunk. It has headroom before its body: what the chunk step could not cut yet is
// copied there from the slab before, so that a chunk's bytes always lie together.
// SlabPool: bounds the memory of all slabs. Thread-safe. It lives on while one of its slabs does.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "engine/backup/layout.h"

namespace vmferry::backup {

struct Piece {
  std::uint64_t disk_offset = 0;
  std::uint64_t length = 0;
};

// Bytes of one stream in a slab. A stream that goes on from the slab before begins at the body's first byte.
struct Segment {
  StreamInfo stream;
  std::size_t offset = 0;  // within the body
  std::size_t length = 0;
  bool begins = false;     // the stream's first bytes
  bool ends = false;       // its last
  std::size_t pieces_begin = 0, pieces_end = 0;  // in Slab::pieces
};

struct Slab {
  std::byte* memory = nullptr;
  std::size_t headroom = 0;
  std::size_t capacity = 0;  // of the body
  std::vector<Segment> segments;
  std::vector<Piece> pieces;  // in stream order

  std::byte* body() const noexcept { return memory + headroom; }
};

using SlabPointer = std::shared_ptr<Slab>;

class SlabPool : public std::enable_shared_from_this<SlabPool> {
 public:
  static std::shared_ptr<SlabPool> create(std::size_t headroom, std::size_t body, std::size_t bytes_max);
  ~SlabPool();

  // Waits for a free slab; null once `stop` is true (set it, then call wake()).
  SlabPointer take(const std::atomic<bool>& stop);
  // True where take() would have to wait.
  bool exhausted() const;
  // A buffer of exactly these bytes out of the same budget; null where it would have to wait.
  std::shared_ptr<std::byte> try_take_buffer(std::size_t bytes);
  void wake();

  std::size_t body_bytes() const noexcept { return body_; }
  std::size_t bytes_max() const noexcept { return bytes_max_; }

 private:
  SlabPool(std::size_t headroom, std::size_t body, std::size_t bytes_max);
  std::size_t slab_bytes() const noexcept { return headroom_ + body_; }
  void give_back(Slab* slab) noexcept;
  void give_back_bytes(std::size_t bytes) noexcept;

  const std::size_t headroom_, body_, bytes_max_;
  mutable std::mutex mutex_;
  std::condition_variable freed_;
  std::size_t bytes_in_use_ = 0;
  std::vector<Slab*> free_;  // the last one back is the next one out: it is still in the processor's cache
};

}  // namespace vmferry::backup
