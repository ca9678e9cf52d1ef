#include "target-server/replicate/crossing.h"

#include <utility>

namespace vmferry::target_server {

FerryCounts& FerryCounts::operator+=(const FerryCounts& more) {
  offered_chunks += more.offered_chunks;
  sent_chunks += more.sent_chunks;
  sent_nodes += more.sent_nodes;
  whole_frames += more.whole_frames;
  new_frames += more.new_frames;
  delta_frames += more.delta_frames;
  frame_bytes += more.frame_bytes;
  delta_bytes += more.delta_bytes;
  whole_again += more.whole_again;
  return *this;
}

void Crossing::fail(std::exception_ptr why) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(why);
  changed_.notify_all();
}

bool Crossing::throw_if_failed() {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  return to_broke_;
}

FerryCounts Crossing::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

bool Crossing::wait(const std::function<bool()>& enough) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return over() || !wanted_.empty() || enough(); });
  return !over() && wanted_.empty();
}

// --- offers

bool Crossing::room_for_nodes(std::size_t bytes) const {
  return node_bytes_ == 0 || node_bytes_ + bytes <= node_bytes_max_;
}

void Crossing::offer_begins(const OfferedChunks& offered) {
  const std::lock_guard lock(mutex_);
  ++offers_open_;
  node_bytes_ += offered.content_bytes;
  counts_.offered_chunks += offered.chunks.size();
}

void Crossing::answered(OfferedChunks& offered, const target::WantBitmap& wanted) {
  const std::lock_guard lock(mutex_);
  --offers_open_;
  changed_.notify_all();
  if (wanted.size() != offered.chunks.size()) {
    to_broke_ = true;
    return;
  }
  OfferedChunks some;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) continue;
    some.chunks.push_back(std::move(offered.chunks[i]));
    if (offered.contents.empty()) continue;
    some.content_bytes += offered.contents[i].size();
    some.contents.push_back(std::move(offered.contents[i]));
  }
  node_bytes_ -= offered.content_bytes - some.content_bytes;
  if (!some.chunks.empty()) wanted_.push_back(std::move(some));
}

std::optional<OfferedChunks> Crossing::take_wanted() {
  const std::lock_guard lock(mutex_);
  if (wanted_.empty()) return std::nullopt;
  OfferedChunks some = std::move(wanted_.front());
  wanted_.pop_front();
  node_bytes_ -= some.content_bytes;
  (some.again ? counts_.whole_again : some.contents.empty() ? counts_.sent_chunks : counts_.sent_nodes) +=
      some.chunks.size();
  return some;
}

// --- requests

void Crossing::request_begins() {
  const std::lock_guard lock(mutex_);
  ++requests_open_;
}

void Crossing::request_ended(std::exception_ptr failure) {
  const std::lock_guard lock(mutex_);
  --requests_open_;
  if (failure && !failure_) failure_ = std::move(failure);
  changed_.notify_all();
}

// --- what is to be sent

bool Crossing::put(Outgoing outgoing) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return over() || queue_bytes_ == 0 || queue_bytes_ + outgoing.bytes.size() <= queue_bytes_max_;
  });
  if (over()) return false;
  queue_bytes_ += outgoing.bytes.size();
  ++unsent_;
  if (outgoing.kind == Outgoing::Kind::delta) ++deltas_open_;
  queue_.push_back(std::move(outgoing));
  changed_.notify_all();
  return true;
}

std::optional<Outgoing> Crossing::take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return over() || closed_ || !queue_.empty(); });
  if (over() || queue_.empty()) return std::nullopt;
  Outgoing outgoing = std::move(queue_.front());
  queue_.pop_front();
  queue_bytes_ -= outgoing.bytes.size();
  changed_.notify_all();
  return outgoing;
}

void Crossing::sent(const Outgoing& outgoing) {
  const std::lock_guard lock(mutex_);
  --unsent_;
  changed_.notify_all();
  if (outgoing.kind == Outgoing::Kind::delta) {
    ++counts_.delta_frames;
    counts_.delta_bytes += outgoing.bytes.size();
  } else if (outgoing.wanted.empty()) {
    ++(outgoing.kind == Outgoing::Kind::new_frame ? counts_.new_frames : counts_.whole_frames);
    counts_.frame_bytes += outgoing.bytes.size();
  }
}

void Crossing::sent_new_frame(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  ++counts_.new_frames;
  counts_.frame_bytes += bytes;
}

void Crossing::delta_answered(const std::optional<std::vector<ChunkId>>& whole) {
  const std::lock_guard lock(mutex_);
  --deltas_open_;
  changed_.notify_all();
  if (!whole) {
    to_broke_ = true;
  } else if (!whole->empty()) {
    OfferedChunks again;
    again.again = true;
    for (const ChunkId& id : *whole) again.chunks.push_back({id, {}});
    wanted_.push_back(std::move(again));
  }
}

void Crossing::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

}  // namespace vmferry::target_server
