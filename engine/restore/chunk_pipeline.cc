#include "engine/restore/chunk_pipeline.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace vmferry::restore {
namespace {

// A frame that lies in two batches comes twice, so they are not made smaller than need be; two of them are the window, so
// that one is always on its way while the next is gathered.
constexpr std::size_t batch_chunks_max = 4096;
constexpr std::size_t waiting_chunks_max = 4 * batch_chunks_max;

}  // namespace

struct ChunkPipeline::Arrivals {
  std::mutex mutex;
  std::condition_variable changed;
  std::unordered_map<ChunkId, SharedBytes> contents;  // arrived, not yet taken
  std::size_t bytes = 0;                              // of all that arrived and has uses left
  std::size_t waiting = 0, waiting_bytes = 0;         // asked for, not arrived
  struct Batch {
    std::size_t left = 0;  // chunks that have not arrived
    std::size_t left_bytes = 0;
    bool done = false;
    std::exception_ptr error = nullptr;
  };
  std::unordered_map<std::size_t, Batch> batches;     // until the last of it was taken or it failed
  bool abandoned = false;
};

ChunkPipeline::ChunkPipeline(target::TargetSession& session, std::size_t memory_bytes)
    : session_(session),
      window_bytes_(memory_bytes / 3 * 2),
      batch_bytes_(window_bytes_ / 2),
      arrivals_(std::make_shared<Arrivals>()),
      used_(memory_bytes / 3) {}

ChunkPipeline::~ChunkPipeline() {
  const std::lock_guard lock(arrivals_->mutex);
  arrivals_->abandoned = true;
  arrivals_->contents.clear();
}

bool ChunkPipeline::has_room() const {
  const std::lock_guard lock(arrivals_->mutex);
  return arrivals_->bytes + held_bytes_ + arrivals_->waiting_bytes + pending_bytes_ < window_bytes_ &&
         arrivals_->waiting + pending_.size() < waiting_chunks_max;
}

bool ChunkPipeline::is_waiting() const {
  const std::lock_guard lock(arrivals_->mutex);
  return arrivals_->waiting > 0 || !arrivals_->contents.empty() || !failed_.empty();
}

void ChunkPipeline::ask(const ChunkId& id, std::uint64_t bytes_expected) {
  const auto [found, is_new] = wanted_.try_emplace(id);
  if (found->second.uses++ > 0 || !is_new) return;
  if (SharedBytes content = used_.find(id)) {
    held_bytes_ += content->size();
    found->second.content = std::move(content);
    return;
  }
  found->second.batch = next_batch_;
  pending_.push_back(id);
  pending_bytes_ += static_cast<std::size_t>(bytes_expected);
  if (pending_.size() == batch_chunks_max || pending_bytes_ >= batch_bytes_) send_pending();
}

void ChunkPipeline::send_pending() {
  if (pending_.empty()) return;
  const std::size_t batch = next_batch_++;
  {
    const std::lock_guard lock(arrivals_->mutex);
    arrivals_->batches[batch] = {.left = pending_.size(), .left_bytes = pending_bytes_};
    arrivals_->waiting += pending_.size();
    arrivals_->waiting_bytes += pending_bytes_;
  }
  auto use = [arrivals = arrivals_, batch](const ChunkId& id, ByteView content) {
    auto copy = std::make_shared<const Bytes>(content.begin(), content.end());
    const std::lock_guard lock(arrivals->mutex);
    const auto found = arrivals->batches.find(batch);
    if (arrivals->abandoned || found == arrivals->batches.end() || found->second.left == 0) return;
    if (!arrivals->contents.emplace(id, std::move(copy)).second) return;
    --found->second.left;
    --arrivals->waiting;
    const std::size_t expected = std::min(content.size(), found->second.left_bytes);
    found->second.left_bytes -= expected;
    arrivals->waiting_bytes -= expected;
    arrivals->bytes += content.size();
    arrivals->changed.notify_all();
  };
  auto done = [arrivals = arrivals_, batch](std::exception_ptr error) {
    const std::lock_guard lock(arrivals->mutex);
    const auto found = arrivals->batches.find(batch);
    if (found == arrivals->batches.end()) return;
    arrivals->waiting -= std::exchange(found->second.left, 0);
    arrivals->waiting_bytes -= std::exchange(found->second.left_bytes, 0);
    found->second.done = true;
    found->second.error = error;
    if (!error) arrivals->batches.erase(found);
    arrivals->changed.notify_all();
  };
  session_.fetch(std::move(pending_), std::move(use), std::move(done));
  pending_.clear();
  pending_bytes_ = 0;
}

SharedBytes ChunkPipeline::take(const ChunkId& id) {
  const auto found = wanted_.find(id);
  if (found == wanted_.end()) throw std::logic_error("a chunk is taken that was not asked for");
  Wanted& wanted = found->second;
  const bool last_use = --wanted.uses == 0;
  SharedBytes content = wanted.content;
  if (!content) {
    if (wanted.batch == next_batch_) send_pending();
    try {
      content = wait_for(id, wanted.batch);
    } catch (...) {
      // The other uses of it ask again, and fail by themselves.
      if (last_use) wanted_.erase(found);
      throw;
    }
    held_bytes_ += content->size();
    wanted.content = content;
  }
  if (last_use) {
    held_bytes_ -= content->size();
    wanted_.erase(found);
    used_.insert(id, content);
  }
  return content;
}

SharedBytes ChunkPipeline::wait_for(const ChunkId& id, std::size_t batch) {
  std::unique_lock lock(arrivals_->mutex);
  while (true) {
    const auto arrived = arrivals_->contents.find(id);
    if (arrived != arrivals_->contents.end()) {
      SharedBytes content = std::move(arrived->second);
      arrivals_->contents.erase(arrived);
      arrivals_->bytes -= content->size();
      return content;
    }
    const auto found = arrivals_->batches.find(batch);
    if (found == arrivals_->batches.end() || found->second.done) break;
    arrivals_->changed.wait(lock);
  }
  // The batch failed, perhaps for another chunk than this: asked for alone, it comes or says why not.
  lock.unlock();
  return std::make_shared<const Bytes>(get_chunk(session_.chunks(), id));
}

// --- in the order of arrival

std::optional<ChunkPipeline::Arrival> ChunkPipeline::take_arrived() {
  ChunkId id;
  SharedBytes content;
  {
    const std::lock_guard lock(arrivals_->mutex);
    const auto first = arrivals_->contents.begin();
    if (first == arrivals_->contents.end()) return std::nullopt;
    id = first->first;
    content = std::move(first->second);
    arrivals_->bytes -= content->size();
    arrivals_->contents.erase(first);
  }
  return taken(id, std::move(content));
}

ChunkPipeline::Arrival ChunkPipeline::take_any() {
  if (wanted_.empty()) throw std::logic_error("a chunk is taken, and none was asked for");
  while (true) {
    if (auto arrival = take_arrived()) return std::move(*arrival);
    if (!failed_.empty()) {
      const ChunkId id = failed_.back();
      failed_.pop_back();
      try {
        return taken(id, std::make_shared<const Bytes>(get_chunk(session_.chunks(), id)));
      } catch (const Error& error) {
        if (error.code() != ErrorCode::damaged) throw;
        wanted_.erase(id);
        return {id, nullptr, error};
      }
    }
    if (!wait_for_any()) send_pending();
  }
}

ChunkPipeline::Arrival ChunkPipeline::taken(const ChunkId& id, SharedBytes content) {
  wanted_.erase(id);
  used_.insert(id, content);
  return {id, std::move(content), std::nullopt};
}

// False where nothing is under way.
bool ChunkPipeline::wait_for_any() {
  std::unique_lock lock(arrivals_->mutex);
  arrivals_->changed.wait(lock, [&] {
    return !arrivals_->contents.empty() || arrivals_->waiting == 0 ||
           std::ranges::any_of(arrivals_->batches, [](const auto& batch) { return batch.second.done; });
  });
  if (!arrivals_->contents.empty()) return true;
  gather_failed();
  return arrivals_->waiting > 0 || !failed_.empty();
}

// Under the arrivals' mutex, with nothing left of what arrived.
void ChunkPipeline::gather_failed() {
  for (const auto& [id, wanted] : wanted_) {
    const auto batch = arrivals_->batches.find(wanted.batch);
    if (batch != arrivals_->batches.end() && batch->second.done) failed_.push_back(id);
  }
  std::erase_if(arrivals_->batches, [](const auto& batch) { return batch.second.done; });
}

}  // namespace vmferry::restore
