// SessionSource: the ChunkSource that a session's chunks() gives. Frames are queued by the receiving thread and
// opened on the calling one, so several callers decode at once. What waits in a call's queue is bounded: a call has at
// most requests_per_call_max requests whose chunks it has not used yet.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "protocol/session/fetches.h"

namespace vmferry::target {

class SessionSource final : public ChunkSource {
 public:
  // send: sends a fetch of these ids for a call, as Fetches::start() numbers it.
  using Send = std::function<void(const std::shared_ptr<FetchCall>&, std::span<const ChunkId>)>;
  SessionSource(const DomainKey& key, Send send) : key_(key), send_(std::move(send)) {}

  void get(std::span<const ChunkId> ids, const Use& use) override;

 private:
  class QueuedCall;
  std::unique_ptr<FrameOpener> take_opener();
  void put_back(std::unique_ptr<FrameOpener> opener);

  DomainKey key_;
  Send send_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<FrameOpener>> idle_openers_;
};

}  // namespace vmferry::target
