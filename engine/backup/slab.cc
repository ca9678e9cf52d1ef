#include "engine/backup/slab.h"

#include <algorithm>
#include <new>

namespace vmferry::backup {
namespace {

constexpr std::size_t slabs_min = 4;  // one being read, one waiting, one being cut, one carried over

void destroy(Slab* slab) noexcept {
  delete[] slab->memory;
  delete slab;
}

}  // namespace

std::shared_ptr<SlabPool> SlabPool::create(std::size_t headroom, std::size_t body, std::size_t bytes_max) {
  return std::shared_ptr<SlabPool>(new SlabPool(headroom, body, bytes_max));
}

SlabPool::SlabPool(std::size_t headroom, std::size_t body, std::size_t bytes_max)
    : headroom_(headroom), body_(body), bytes_max_(std::max(bytes_max, slabs_min * (headroom + body))) {}

SlabPool::~SlabPool() {
  for (Slab* slab : free_) destroy(slab);
}

bool SlabPool::exhausted() const {
  const std::lock_guard lock(mutex_);
  return bytes_in_use_ + slab_bytes() > bytes_max_;
}

SlabPointer SlabPool::take(const std::atomic<bool>& stop) {
  Slab* slab = nullptr;
  {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return stop.load() || bytes_in_use_ + slab_bytes() <= bytes_max_; });
    if (stop.load()) return nullptr;
    bytes_in_use_ += slab_bytes();
    if (!free_.empty()) {
      slab = free_.back();
      free_.pop_back();
    }
  }
  if (slab == nullptr) {
    auto made = std::make_unique<Slab>();
    made->memory = new std::byte[slab_bytes()];
    made->headroom = headroom_;
    made->capacity = body_;
    slab = made.release();
  }
  return SlabPointer(slab, [pool = shared_from_this()](Slab* used) { pool->give_back(used); });
}

std::shared_ptr<std::byte> SlabPool::try_take_buffer(std::size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (bytes_in_use_ + bytes > bytes_max_) return nullptr;
    bytes_in_use_ += bytes;
  }
  return std::shared_ptr<std::byte>(new std::byte[bytes], [pool = shared_from_this(), bytes](std::byte* buffer) {
    delete[] buffer;
    pool->give_back_bytes(bytes);
  });
}

void SlabPool::wake() {
  const std::lock_guard lock(mutex_);
  freed_.notify_all();
}

void SlabPool::give_back(Slab* slab) noexcept {
  slab->segments.clear();
  slab->pieces.clear();
  const std::lock_guard lock(mutex_);
  bytes_in_use_ -= slab_bytes();
  free_.push_back(slab);
  freed_.notify_all();
}

void SlabPool::give_back_bytes(std::size_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  bytes_in_use_ -= bytes;
  // Small buffers use memory that free slabs would keep.
  while (!free_.empty() && bytes_in_use_ + free_.size() * slab_bytes() > bytes_max_) {
    destroy(free_.back());
    free_.pop_back();
  }
  freed_.notify_all();
}

}  // namespace vmferry::backup
