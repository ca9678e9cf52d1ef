// VolumeIndex: the names and records of one cracked volume of a restore point, read through a cache of tree nodes.
// One thread.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "engine/restore/chunk_cache.h"
#include "engine/restore/restore.h"
#include "protocol/file_index.h"

namespace vmferry::restore {

inline constexpr std::size_t node_cache_bytes = 16u << 20;  // what a restore of files gives it

class VolumeIndex {
 public:
  // Throws Error{unsupported} for a volume that was not cracked.
  VolumeIndex(const VolumeRow& row, ChunkSource& chunks, std::size_t cache_bytes);

  // Throws Error{not_found}, naming the path. An empty path is the root.
  NameEntry resolve(const std::string& path);
  // The names in these directories, in one round trip per level of the tree; those of one directory together and in key
  // order, short names too.
  void list(std::span<const MftReference> directories, const std::function<void(const NameEntry&)>& visit);
  // Brings what record() will be asked for, in one round trip per level of the tree.
  void fetch_records(std::span<const MftReference> records);
  std::optional<RecordEntry> record(MftReference record) { return reader_.record(record); }

 private:
  const VolumeRow row_;
  CachingSource nodes_;
  FileIndexReader reader_;
};

}  // namespace vmferry::restore
