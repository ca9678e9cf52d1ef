// FramedNodes: tree nodes of a store behind a line. A frame that came for one node holds others that the walk will want:
// they are kept, bounded, so that no frame has to come once for each level of a tree. One thread.
#pragma once

#include <deque>
#include <unordered_map>
#include <vector>

#include "protocol/chunk_source.h"
#include "protocol/session/target_session.h"

namespace vmferry::target_server {

class FramedNodes final : public ChunkSource {
 public:
  FramedNodes(target::TargetSession& session, std::size_t kept_bytes_max)
      : session_(session), kept_bytes_max_(kept_bytes_max) {}

  // Memory beside what is kept: the content of `ids`.
  void get(std::span<const ChunkId> ids, const Use& use) override;

 private:
  using Contents = std::unordered_map<ChunkId, Bytes>;

  Contents fetch(const std::vector<ChunkId>& ids);
  void keep(const ChunkId& id, ByteView content);

  target::TargetSession& session_;
  const std::size_t kept_bytes_max_;
  Contents kept_;
  std::deque<ChunkId> by_age_;
  std::size_t kept_bytes_ = 0;
};

}  // namespace vmferry::target_server
