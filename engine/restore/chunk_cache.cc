#include "engine/restore/chunk_cache.h"

#include <unordered_set>
#include <vector>

#include "protocol/error.h"

namespace vmferry::restore {

SharedBytes ChunkCache::find(const ChunkId& id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return nullptr;
  by_use_.splice(by_use_.begin(), by_use_, found->second);
  return found->second->content;
}

void ChunkCache::insert(const ChunkId& id, SharedBytes content) {
  if (content->size() > budget_bytes_ || by_id_.contains(id)) return;
  bytes_ += content->size();
  by_use_.push_front(Entry{id, std::move(content)});
  by_id_.emplace(id, by_use_.begin());
  while (bytes_ > budget_bytes_) {
    bytes_ -= by_use_.back().content->size();
    by_id_.erase(by_use_.back().id);
    by_use_.pop_back();
  }
}

void CachingSource::get(std::span<const ChunkId> ids, const Use& use) {
  std::vector<ChunkId> missing;
  std::unordered_set<ChunkId> seen;
  for (const ChunkId& id : ids) {
    if (!seen.insert(id).second) continue;
    if (const SharedBytes content = find(id)) {
      use(id, *content);
    } else {
      missing.push_back(id);
    }
  }
  if (missing.empty()) return;
  source_.get(missing, [&](const ChunkId& id, ByteView content) {
    insert(id, std::make_shared<const Bytes>(content.begin(), content.end()));
    use(id, content);
  });
}

SharedBytes CachingSource::get_shared(const ChunkId& id) {
  if (SharedBytes content = find(id)) return content;
  SharedBytes result;
  source_.get(std::span(&id, 1), [&](const ChunkId&, ByteView content) {
    result = std::make_shared<const Bytes>(content.begin(), content.end());
  });
  if (!result) throw Error(ErrorCode::damaged, "a chunk was not given", id.to_string());
  insert(id, result);
  return result;
}

SharedBytes CachingSource::find(const ChunkId& id) {
  const std::lock_guard lock(mutex_);
  return cache_.find(id);
}

bool CachingSource::contains(const ChunkId& id) const {
  const std::lock_guard lock(mutex_);
  return cache_.contains(id);
}

void CachingSource::insert(const ChunkId& id, SharedBytes content) {
  const std::lock_guard lock(mutex_);
  cache_.insert(id, std::move(content));
}

}  // namespace vmferry::restore
