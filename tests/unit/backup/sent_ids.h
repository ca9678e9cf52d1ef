// SentIds: a session that keeps the ids of all chunks that were sent whole. Look at them when nothing is being sent.
#pragma once

#include <mutex>
#include <vector>

#include "protocol/frame.h"
#include "tests/unit/backup/backup_fixture.h"

namespace vmferry::backup {

class SentIds final : public WrappedSession {
 public:
  using WrappedSession::WrappedSession;
  void send_frame(ByteView frame) override {
    {
      const std::lock_guard lock(mutex_);
      for (const FrameChunk& chunk : parse_frame(frame).chunks) ids_.push_back(chunk.id);
    }
    real_.send_frame(frame);
  }
  std::mutex mutex_;
  std::vector<ChunkId> ids_;
};

}  // namespace vmferry::backup
