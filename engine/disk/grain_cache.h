// GrainCache: the last grains that were decompressed, within a fixed budget that all extents of a disk share.
// Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "protocol/bytes.h"

namespace vmferry::disk {

class SourceFile;

class GrainCache {
 public:
  // A reader in order wants only the last few; more serve several readers at once.
  static constexpr std::size_t budget_bytes = 16 * 1024 * 1024;
  static constexpr std::size_t grains_max = 64;

  std::shared_ptr<const Bytes> find(const SourceFile& file, std::uint64_t file_offset);
  void put(const SourceFile& file, std::uint64_t file_offset, std::shared_ptr<const Bytes> grain);

 private:
  struct Entry {
    const SourceFile* file;
    std::uint64_t file_offset;
    std::shared_ptr<const Bytes> grain;
  };
  std::mutex mutex_;
  std::list<Entry> by_use_;  // the last used first; short, so it is searched
  std::size_t bytes_ = 0;
};

}  // namespace vmferry::disk
