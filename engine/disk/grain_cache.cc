#include "engine/disk/grain_cache.h"

namespace vmferry::disk {

std::shared_ptr<const Bytes> GrainCache::find(const SourceFile& file, std::uint64_t file_offset) {
  const std::scoped_lock lock(mutex_);
  for (auto entry = by_use_.begin(); entry != by_use_.end(); ++entry) {
    if (entry->file_offset != file_offset || entry->file != &file) continue;
    by_use_.splice(by_use_.begin(), by_use_, entry);
    return entry->grain;
  }
  return nullptr;
}

void GrainCache::put(const SourceFile& file, std::uint64_t file_offset, std::shared_ptr<const Bytes> grain) {
  const std::scoped_lock lock(mutex_);
  bytes_ += grain->size();
  by_use_.push_front({&file, file_offset, std::move(grain)});
  while (bytes_ > budget_bytes || by_use_.size() > grains_max) {
    bytes_ -= by_use_.back().grain->size();
    by_use_.pop_back();
  }
}

}  // namespace vmferry::disk
