#include "engine/restore/chunk_pipeline.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <span>
#include <stdexcept>
#include <utility>

namespace vmferry::restore {
namespace {

// A frame that lies in two batches comes twice, so they are not made smaller than need be; two of them are the window, so
// that one is always on its way while the next is gathered.
constexpr std::size_t batch_chunks_max = 4096;
constexpr std::size_t waiting_chunks_max = 4 * batch_chunks_max;
// Of a batch that failed the rest is asked for in so many parts, and so on: one bad chunk costs little of the others.
constexpr std::size_t parts_of_failed = 64;
constexpr std::size_t batches_open_max = 8;  // a session has places for twice as many: asking never waits

}  // namespace

struct ChunkPipeline::Arrivals {
  std::mutex mutex;
  std::condition_variable changed;
  std::unordered_map<ChunkId, SharedBytes> contents;  // arrived, not yet taken
  std::size_t bytes = 0;                              // of all that arrived and has uses left
  std::size_t waiting = 0, waiting_bytes = 0;         // asked for, not arrived
  struct Batch {
    std::size_t size = 0, left = 0;  // chunks; those that have not arrived
    std::size_t left_bytes = 0;
    bool done = false;
    std::exception_ptr error = nullptr;
  };
  std::unordered_map<std::size_t, Batch> batches;     // until the last of it was taken or it failed
  bool abandoned = false;
};

ChunkPipeline::ChunkPipeline(target::TargetSession& session, std::size_t memory_bytes, Order order)
    : session_(session),
      order_(order),
      window_bytes_(memory_bytes / 3 * 2),
      batch_bytes_(order == Order::of_use ? window_bytes_ / 2 : std::numeric_limits<std::size_t>::max()),
      arrivals_(std::make_shared<Arrivals>()),
      used_(memory_bytes / 3) {}

ChunkPipeline::~ChunkPipeline() {
  stop();
  const std::lock_guard lock(arrivals_->mutex);
  arrivals_->contents.clear();
}

void ChunkPipeline::stop() noexcept {
  const std::lock_guard lock(arrivals_->mutex);
  arrivals_->abandoned = true;
  arrivals_->changed.notify_all();
}

bool ChunkPipeline::has_room() const {
  const std::lock_guard lock(arrivals_->mutex);
  if (order_ == Order::of_arrival)
    return again_.empty() && arrivals_->waiting + pending_.size() < waiting_chunks_max;
  return arrivals_->bytes + held_bytes_ + arrivals_->waiting_bytes + pending_bytes_ < window_bytes_ &&
         arrivals_->waiting + pending_.size() < waiting_chunks_max;
}

bool ChunkPipeline::is_waiting() const {
  const std::lock_guard lock(arrivals_->mutex);
  return arrivals_->waiting > 0 || !arrivals_->contents.empty() || !again_.empty() || !failed_.empty();
}

void ChunkPipeline::ask(const ChunkId& id, std::uint64_t bytes_expected) {
  const auto [found, is_new] = wanted_.try_emplace(id);
  if (found->second.uses++ > 0 || !is_new) return;
  if (SharedBytes content = used_.find(id)) {
    held_bytes_ += content->size();
    found->second.content = std::move(content);
    return;
  }
  pending_.push_back(id);
  pending_bytes_ += static_cast<std::size_t>(bytes_expected);
  if (pending_.size() == batch_chunks_max || pending_bytes_ >= batch_bytes_) send_pending();
}

void ChunkPipeline::send_pending() {
  if (pending_.empty()) return;
  send(std::exchange(pending_, {}), std::exchange(pending_bytes_, 0));
}

void ChunkPipeline::send(std::vector<ChunkId> ids, std::size_t bytes) {
  const std::size_t batch = next_batch_++;
  for (const ChunkId& id : ids) wanted_.at(id).batch = batch;
  {
    const std::lock_guard lock(arrivals_->mutex);
    arrivals_->batches[batch] = {.size = ids.size(), .left = ids.size(), .left_bytes = bytes};
    arrivals_->waiting += ids.size();
    arrivals_->waiting_bytes += bytes;
  }
  const std::size_t bytes_max = order_ == Order::of_use ? std::numeric_limits<std::size_t>::max() : window_bytes_;
  auto use = [arrivals = arrivals_, batch, bytes_max](const ChunkId& id, ByteView content) {
    auto copy = std::make_shared<const Bytes>(content.begin(), content.end());
    std::unique_lock lock(arrivals->mutex);
    arrivals->changed.wait(lock, [&] { return arrivals->bytes < bytes_max || arrivals->abandoned; });
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
  session_.fetch(std::move(ids), std::move(use), std::move(done));
}

SharedBytes ChunkPipeline::take(const ChunkId& id) {
  const auto found = wanted_.find(id);
  if (found == wanted_.end()) throw std::logic_error("a chunk is taken that was not asked for");
  Wanted& wanted = found->second;
  const bool last_use = --wanted.uses == 0;
  SharedBytes content = wanted.content;
  if (!content) {
    if (wanted.batch == not_sent) send_pending();
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
    arrivals_->changed.notify_all();
  }
  return taken(id, std::move(content));
}

ChunkPipeline::Arrival ChunkPipeline::take_any() {
  if (wanted_.empty()) throw std::logic_error("a chunk is taken, and none was asked for");
  while (true) {
    if (auto arrival = take_arrived()) return std::move(*arrival);
    if (!failed_.empty()) {
      const auto [id, why] = std::move(failed_.back());
      failed_.pop_back();
      wanted_.erase(id);
      try {
        std::rethrow_exception(why);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::damaged) throw;
        return {id, nullptr, error};
      }
    }
    send_again();
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
  return arrivals_->waiting > 0 || !again_.empty() || !failed_.empty();
}

// Under the arrivals' mutex, with nothing left of what arrived.
void ChunkPipeline::gather_failed() {
  std::unordered_map<std::size_t, std::vector<ChunkId>> rest;
  for (const auto& [id, wanted] : wanted_) {
    const auto batch = arrivals_->batches.find(wanted.batch);
    if (batch != arrivals_->batches.end() && batch->second.done) rest[wanted.batch].push_back(id);
  }
  for (const auto& [number, ids] : rest) {
    const Arrivals::Batch& batch = arrivals_->batches.at(number);
    if (batch.size == 1) {
      failed_.emplace_back(ids.front(), batch.error);
      continue;
    }
    const std::size_t part = std::max<std::size_t>(1, batch.size / parts_of_failed);
    for (std::size_t at = 0; at < ids.size(); at += part) {
      const auto ids_of_part = std::span(ids).subspan(at, std::min(part, ids.size() - at));
      again_.emplace_back(ids_of_part.begin(), ids_of_part.end());
    }
  }
  std::erase_if(arrivals_->batches, [](const auto& batch) { return batch.second.done; });
}

void ChunkPipeline::send_again() {
  const auto has_place = [&] {
    const std::lock_guard lock(arrivals_->mutex);
    return arrivals_->batches.size() < batches_open_max;
  };
  while (!again_.empty() && has_place()) {
    send(std::move(again_.back()), 0);
    again_.pop_back();
  }
}

}  // namespace vmferry::restore
