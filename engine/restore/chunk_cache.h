// ChunkCache: chunks by id, the last used ones, within a budget of bytes; one that is larger than the whole
// budget is not kept. One thread. CachingSource: a ChunkSource that keeps what it gave. Any thread.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "protocol/chunk_source.h"

namespace vmferry::restore {

using SharedBytes = std::shared_ptr<const Bytes>;

class ChunkCache {
 public:
  explicit ChunkCache(std::size_t budget_bytes) : budget_bytes_(budget_bytes) {}

  bool contains(const ChunkId& id) const { return by_id_.contains(id); }
  SharedBytes find(const ChunkId& id);  // null where it is not kept
  void insert(const ChunkId& id, SharedBytes content);
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  struct Entry {
    ChunkId id;
    SharedBytes content;
  };
  std::size_t budget_bytes_;
  std::size_t bytes_ = 0;
  std::list<Entry> by_use_;  // the last used first
  std::unordered_map<ChunkId, std::list<Entry>::iterator> by_id_;
};

class CachingSource : public ChunkSource {
 public:
  CachingSource(ChunkSource& source, std::size_t budget_bytes) : source_(source), cache_(budget_bytes) {}

  void get(std::span<const ChunkId> ids, const Use& use) override;
  // One chunk without a copy.
  SharedBytes get_shared(const ChunkId& id);

  // What is here: without asking the source.
  SharedBytes find(const ChunkId& id);  // null where it is not kept
  bool contains(const ChunkId& id) const;
  void insert(const ChunkId& id, SharedBytes content);  // that was brought by other ways

 private:
  ChunkSource& source_;
  mutable std::mutex mutex_;
  ChunkCache cache_;
};

}  // namespace vmferry::restore
