#include "target-server/replicate/framed_nodes.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/session/fetches.h"

namespace vmferry::target_server {
namespace {

// What a fetch brings, on the session's receiving thread.
struct Arrivals {
  Arrivals(const DomainKey& domain_key, std::size_t room) : key(domain_key), others_bytes_left(room) {}

  void open(const FrameView& frame, std::span<const std::size_t> wanted) {
    const ByteView content = decoder.decode(frame);
    std::size_t at = 0, next_wanted = 0;
    for (std::size_t i = 0; i < frame.chunks.size(); ++i) {
      const ByteView one = content.subspan(at, frame.chunks[i].length);
      at += one.size();
      const bool is_wanted = next_wanted < wanted.size() && wanted[next_wanted] == i;
      next_wanted += is_wanted;
      if (!is_wanted && one.size() > std::min(limits::tree_node_max, others_bytes_left)) continue;
      const ChunkId& id = frame.chunks[i].id;
      const bool right = chunk_id_of(key, one) == id;
      if (is_wanted && !right)
        throw Error(ErrorCode::damaged, "a chunk from the target is not what its id says", id.to_string());
      if (!right) continue;
      if (!is_wanted) others_bytes_left -= one.size();
      (is_wanted ? asked_for : others).emplace_back(id, Bytes(one.begin(), one.end()));
    }
  }

  const DomainKey key;
  std::size_t others_bytes_left;
  FrameDecoder decoder;
  std::vector<std::pair<ChunkId, Bytes>> asked_for, others;
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::exception_ptr failure;
};

}  // namespace

void FramedNodes::get(std::span<const ChunkId> ids, const Use& use) {
  std::vector<ChunkId> missing;
  for (const ChunkId& id : target::distinct(ids)) {
    const auto found = kept_.find(id);
    if (found == kept_.end())
      missing.push_back(id);
    else
      use(id, found->second);
  }
  if (missing.empty()) return;
  for (const auto& [id, content] : fetch(missing)) use(id, content);
}

FramedNodes::Contents FramedNodes::fetch(const std::vector<ChunkId>& ids) {
  const auto arrivals = std::make_shared<Arrivals>(session_.facts().domain_key, kept_bytes_max_);
  session_.fetch_frames(
      ids,
      [arrivals](const FrameView& frame, std::span<const std::size_t> wanted) { arrivals->open(frame, wanted); },
      [arrivals](std::exception_ptr failure) {
        const std::lock_guard lock(arrivals->mutex);
        arrivals->failure = std::move(failure);
        arrivals->done = true;
        arrivals->changed.notify_all();
      });
  std::unique_lock lock(arrivals->mutex);
  arrivals->changed.wait(lock, [&] { return arrivals->done; });
  if (arrivals->failure) std::rethrow_exception(std::exchange(arrivals->failure, nullptr));
  for (const auto& [id, content] : arrivals->others) keep(id, content);
  Contents contents;
  for (auto& [id, content] : arrivals->asked_for) contents.emplace(id, std::move(content));
  return contents;
}

void FramedNodes::keep(const ChunkId& id, ByteView content) {
  if (!kept_.try_emplace(id, content.begin(), content.end()).second) return;
  by_age_.push_back(id);
  kept_bytes_ += content.size();
  while (kept_bytes_ > kept_bytes_max_) {
    const auto oldest = kept_.find(by_age_.front());
    kept_bytes_ -= oldest->second.size();
    kept_.erase(oldest);
    by_age_.pop_front();
  }
}

}  // namespace vmferry::target_server
