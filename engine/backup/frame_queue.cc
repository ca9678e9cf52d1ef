#include "engine/backup/frame_queue.h"

#include <unordered_set>
#include <utility>

#include "protocol/limits.h"

namespace vmferry::backup {

void FrameQueue::answered(OfferBatch batch, const target::WantBitmap& wanted, bool keep_unwanted) {
  std::size_t offered = 0, kept = 0;
  for (const OfferedChunk& chunk : batch.chunks) offered += chunk.offered;
  const bool broken = wanted.size() != offered;
  std::size_t answer = 0;
  for (std::size_t i = 0; i < batch.chunks.size() && !broken; ++i) {
    OfferedChunk& chunk = batch.chunks[i];
    chunk.wanted = chunk.offered && wanted[answer++];
    if (!chunk.wanted && (!keep_unwanted || chunk.facts.is_node)) continue;
    if (kept != i) batch.chunks[kept] = std::move(chunk);
    ++kept;
  }
  batch.chunks.resize(kept);
  const std::lock_guard lock(mutex_);
  --unanswered_;
  if (broken) break_off();
  if (!batch.chunks.empty() && !error_ && !broken_) batches_.push_back(std::move(batch));
  changed_.notify_all();
}

// The session ended: with the mutex held. What waits is let go, so that its memory is free.
void FrameQueue::break_off() {
  broken_ = true;
  batches_.clear();
  again_.clear();
}

void FrameQueue::fail(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
  batches_.clear();
  again_.clear();
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

bool FrameQueue::broken() {
  const std::lock_guard lock(mutex_);
  return broken_;
}

// False where the chunk does not fit the frame any more.
bool FrameQueue::gather(FrameWork& work, OfferedChunk& chunk) const {
  if (!chunk.wanted) {
    if (work.owners.empty()) work.owners = batch_.owners;
    work.unwanted.push_back(std::move(chunk));
    return true;
  }
  if (!work.chunks.empty() && (work.content.size() + chunk.length > frame_bytes_ ||
                               work.chunks.size() == limits::frame_chunks_max || work.nodes() != chunk.facts.is_node))
    return false;
  if (work.chunks.empty()) work.content.reserve(frame_bytes_);
  work.chunks.push_back({chunk.id, chunk.length});
  work.content.insert(work.content.end(), chunk.data, chunk.data + chunk.length);
  work.facts.push_back(std::move(chunk.facts));
  return true;
}

std::optional<FrameWork> FrameQueue::take() {
  const std::lock_guard turn(gathering_);
  FrameWork work;
  while (true) {
    for (; at_ < batch_.chunks.size(); ++at_)
      if (!gather(work, batch_.chunks[at_])) return work;
    batch_ = {};
    at_ = 0;
    if (!work.unwanted.empty()) return work;  // it keeps the batch's memory
    std::unique_lock lock(mutex_);
    const auto over = [this] { return closed_ && deltas_unanswered_ == 0; };
    changed_.wait(lock, [&] { return !batches_.empty() || !again_.empty() || over() || error_ || broken_ ||
                                     (!work.chunks.empty() && closed_); });
    if (error_ || broken_) return std::nullopt;
    if (!batches_.empty()) {
      batch_ = std::move(batches_.front());
      batches_.pop_front();
      continue;
    }
    if (!work.chunks.empty()) return work;
    if (again_.empty()) return std::nullopt;
    work = std::move(again_.front());
    again_.pop_front();
    return work;
  }
}

void FrameQueue::delta_begins(const FrameWork& work) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return error_ || broken_ || held_bytes_ == 0 || held_bytes_ + work.content.size() <= held_bytes_max_;
  });
  held_bytes_ += work.content.size();
  ++deltas_unanswered_;
}

void FrameQueue::delta_answered(const FrameWork& work, const std::optional<std::vector<ChunkId>>& whole) {
  FrameWork again;
  if (whole && !whole->empty()) {
    again.whole = true;
    const std::unordered_set<ChunkId> ids(whole->begin(), whole->end());
    std::size_t at = 0;
    for (std::size_t i = 0; i < work.chunks.size(); ++i) {
      const auto begin = work.content.begin() + static_cast<std::ptrdiff_t>(at);
      at += work.chunks[i].length;
      if (!ids.contains(work.chunks[i].id)) continue;
      again.chunks.push_back(work.chunks[i]);
      again.facts.push_back(work.facts[i]);
      again.content.insert(again.content.end(), begin, begin + static_cast<std::ptrdiff_t>(work.chunks[i].length));
    }
  }
  const std::lock_guard lock(mutex_);
  --deltas_unanswered_;
  held_bytes_ -= work.content.size();
  if (!whole) break_off();
  sent_.whole_again += again.chunks.size();
  if (!again.chunks.empty() && !error_ && !broken_) again_.push_back(std::move(again));
  changed_.notify_all();
}

void FrameQueue::count_sent(const FrameWork& work, bool as_delta, std::uint64_t wire_bytes) {
  const std::lock_guard lock(mutex_);
  if (work.nodes()) {
    sent_.node_wire_bytes += wire_bytes;
    return;
  }
  if (work.whole) return;  // its chunks were counted when they went as a delta
  sent_.chunks += work.chunks.size();
  sent_.bytes += work.content.size();
  if (!as_delta) return;
  sent_.delta_chunks += work.chunks.size();
  sent_.delta_bytes += work.content.size();
  sent_.delta_wire_bytes += wire_bytes;
}

SentCounts FrameQueue::sent() {
  const std::lock_guard lock(mutex_);
  return sent_;
}

}  // namespace vmferry::backup
