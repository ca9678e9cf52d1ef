#include "engine/disk/table_cache.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::disk {

static_assert(std::endian::native == std::endian::little, "entries are copied as they are");

std::size_t TableCache::KeyHash::operator()(const Key& key) const noexcept {
  return std::hash<const void*>{}(key.first) ^ static_cast<std::size_t>(key.second * 0x9e3779b97f4a7c15u);
}

std::shared_ptr<const Bytes> TableCache::page(const SourceFile& file, std::uint64_t page_index) {
  const Key key{&file, page_index};
  {
    const std::scoped_lock lock(mutex_);
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      by_use_.splice(by_use_.begin(), by_use_, found->second);
      return found->second->page;
    }
  }
  // Read outside the lock; two threads may read the same page, which is harmless.
  const std::uint64_t offset = page_index * page_bytes;
  if (offset >= file.size_bytes())
    throw Error(ErrorCode::malformed, "a grain table lies outside its file", file.path().string());
  auto content = std::make_shared<Bytes>(std::min<std::uint64_t>(page_bytes, file.size_bytes() - offset));
  file.read(offset, *content);
  const std::scoped_lock lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) return found->second->page;
  by_use_.push_front({key, std::move(content)});
  by_key_.emplace(key, by_use_.begin());
  const auto page = by_use_.front().page;
  if (by_use_.size() * page_bytes > budget_bytes) {
    by_key_.erase(by_use_.back().key);
    by_use_.pop_back();
  }
  return page;
}

std::uint64_t TableReader::entry(std::uint64_t offset, unsigned entry_bytes) {
  const std::uint64_t index = offset / TableCache::page_bytes;
  if (!page_ || index != page_index_) {
    page_ = cache_.page(file_, index);
    page_index_ = index;
  }
  const auto within = static_cast<std::size_t>(offset % TableCache::page_bytes);
  if (!range_fits(within, entry_bytes, page_->size()))
    throw Error(ErrorCode::malformed, "a grain table lies outside its file", file_.path().string());
  std::uint64_t value = 0;
  std::memcpy(&value, page_->data() + within, entry_bytes);
  return value;
}

}  // namespace vmferry::disk
