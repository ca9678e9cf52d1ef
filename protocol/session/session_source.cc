#include "protocol/session/session_source.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <optional>

namespace vmferry::target {
namespace {

constexpr std::size_t requests_per_call_max = 4;
constexpr std::size_t idle_openers_max = 8;

struct Arrived {
  bool request_ended = false;
  Bytes frame;  // to be opened; or, where little of it is wanted:
  std::vector<std::size_t> wanted;
  std::vector<std::pair<ChunkId, Bytes>> chunks;  // opened already
};

}  // namespace

class SessionSource::QueuedCall final : public FetchCall {
 public:
  explicit QueuedCall(const DomainKey& key) : key_(key) {}

  void deliver(const FrameView& frame, std::span<const std::size_t> wanted) override {
    Arrived arrived;
    std::size_t wanted_bytes = 0;
    for (const std::size_t i : wanted) wanted_bytes += frame.chunks[i].length;
    if (wanted_bytes * 2 < frame.whole.size()) {
      if (!opener_) opener_.emplace(key_);
      opener_->open(frame, wanted, [&](const ChunkId& id, ByteView content) {
        arrived.chunks.emplace_back(id, Bytes(content.begin(), content.end()));
      });
    } else {
      arrived.frame.assign(frame.whole.begin(), frame.whole.end());
      arrived.wanted.assign(wanted.begin(), wanted.end());
    }
    push(std::move(arrived));
  }

  void request_ended() override {
    Arrived end;
    end.request_ended = true;
    push(std::move(end));
  }

  Arrived take() {
    std::unique_lock lock(mutex_);
    arrival_.wait(lock, [&] { return !queue_.empty(); });
    Arrived first = std::move(queue_.front());
    queue_.pop_front();
    return first;
  }

 private:
  void push(Arrived arrived) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(arrived));
    arrival_.notify_one();
  }

  DomainKey key_;
  std::optional<FrameOpener> opener_;  // the receiving thread's
  std::mutex mutex_;
  std::condition_variable arrival_;
  std::deque<Arrived> queue_;
};

void SessionSource::get(std::span<const ChunkId> ids, const Use& use) {
  const std::vector<ChunkId> unique = distinct(ids);
  std::span<const ChunkId> rest = unique;
  const auto call = std::make_shared<QueuedCall>(key_);
  std::unique_ptr<FrameOpener> opener;
  std::size_t requests = 0;  // started, and their end not taken from the queue
  bool stopped = false;      // by the caller, or by content that is not what it should be
  while (true) {
    while (!rest.empty() && requests < requests_per_call_max && !call->failure()) {
      const auto some = rest.first(std::min(rest.size(), fetch_ids_per_request_max));
      send_(call, some);
      rest = rest.subspan(some.size());
      ++requests;
    }
    if (requests == 0) break;
    const Arrived arrived = call->take();
    if (arrived.request_ended) --requests;
    if (stopped) continue;  // only the ends count now. Of a session that broke, what had come is used all the same
    try {
      for (const auto& [id, content] : arrived.chunks) use(id, content);
      if (!arrived.frame.empty()) {
        if (!opener) opener = take_opener();
        opener->open(parse_frame(arrived.frame), arrived.wanted, use);
      }
    } catch (...) {
      call->fail(std::current_exception());
      stopped = true;
    }
  }
  if (opener) put_back(std::move(opener));
  if (const auto failure = call->take_failure()) std::rethrow_exception(failure);
}

std::unique_ptr<FrameOpener> SessionSource::take_opener() {
  const std::lock_guard lock(mutex_);
  if (idle_openers_.empty()) return std::make_unique<FrameOpener>(key_);
  auto opener = std::move(idle_openers_.back());
  idle_openers_.pop_back();
  return opener;
}

void SessionSource::put_back(std::unique_ptr<FrameOpener> opener) {
  const std::lock_guard lock(mutex_);
  if (idle_openers_.size() < idle_openers_max) idle_openers_.push_back(std::move(opener));
}

}  // namespace vmferry::target
