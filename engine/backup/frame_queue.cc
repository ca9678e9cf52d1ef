#include "engine/backup/frame_queue.h"

#include <utility>

#include "protocol/limits.h"

namespace vmferry::backup {

void FrameQueue::answered(OfferBatch batch, const target::WantBitmap& wanted) {
  const bool broken = wanted.size() != batch.chunks.size();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < batch.chunks.size() && !broken; ++i)
    if (wanted[i]) batch.chunks[kept++] = batch.chunks[i];
  batch.chunks.resize(kept);
  const std::lock_guard lock(mutex_);
  --unanswered_;
  broken_ = broken_ || broken;
  if (!batch.chunks.empty() && !error_) batches_.push_back(std::move(batch));
  changed_.notify_all();
}

void FrameQueue::fail(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
  batches_.clear();
  changed_.notify_all();
}

void FrameQueue::throw_if_failed() {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

void FrameQueue::offer_begins() {
  const std::lock_guard lock(mutex_);
  ++unanswered_;
}

bool FrameQueue::wait_answered() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return unanswered_ == 0 || broken_ || error_; });
  return !broken_;
}

void FrameQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

void FrameQueue::count(const OfferedChunk& chunk) {
  const std::lock_guard lock(mutex_);
  ++(chunk.is_node ? sent_.nodes : sent_.chunks);
  (chunk.is_node ? sent_.node_bytes : sent_.bytes) += chunk.length;
}

bool FrameQueue::fill(FrameBuilder& builder, std::size_t frame_bytes) {
  const std::lock_guard turn(filling_);
  while (true) {
    for (; at_ < batch_.chunks.size(); ++at_) {
      const OfferedChunk& chunk = batch_.chunks[at_];
      if (!builder.empty() && (builder.content_bytes() + chunk.length > frame_bytes ||
                               builder.chunk_count() == limits::frame_chunks_max))
        return true;
      builder.add(chunk.id, ByteView(chunk.data, chunk.length));
      count(chunk);
    }
    batch_ = {};
    at_ = 0;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !batches_.empty() || closed_ || error_; });
    if (error_) return false;
    if (batches_.empty()) return !builder.empty();
    batch_ = std::move(batches_.front());
    batches_.pop_front();
  }
}

SentCounts FrameQueue::sent() {
  const std::lock_guard lock(mutex_);
  return sent_;
}

}  // namespace vmferry::backup
