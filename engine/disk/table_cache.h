// TableCache: pages of grain directories and grain tables, the last used ones, within a fixed budget that all
// extents of a disk share. Thread-safe. TableReader reads entries through it; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "engine/disk/source_file.h"
#include "protocol/bytes.h"

namespace vmferry::disk {

class TableCache {
 public:
  static constexpr std::size_t page_bytes = 16 * 1024;
  static constexpr std::size_t budget_bytes = 16 * 1024 * 1024;

  // The page, shorter at the end of the file. Throws as SourceFile::read.
  std::shared_ptr<const Bytes> page(const SourceFile& file, std::uint64_t page_index);

 private:
  using Key = std::pair<const SourceFile*, std::uint64_t>;
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  struct Entry {
    Key key;
    std::shared_ptr<const Bytes> page;
  };
  std::mutex mutex_;
  std::list<Entry> by_use_;  // the last used first
  std::unordered_map<Key, std::list<Entry>::iterator, KeyHash> by_key_;
};

class TableReader {
 public:
  TableReader(TableCache& cache, const SourceFile& file) : cache_(cache), file_(file) {}
  // The little-endian entry of `entry_bytes` (4 or 8) at `offset`, which is a multiple of it.
  std::uint64_t entry(std::uint64_t offset, unsigned entry_bytes);

 private:
  TableCache& cache_;
  const SourceFile& file_;
  std::shared_ptr<const Bytes> page_;
  std::uint64_t page_index_ = 0;
};

}  // namespace vmferry::disk
