// AnyOrderRestore: a disk into an output that takes its content in any order: what arrives is written at once, whatever is
// still missing before it, so that an interruption loses nothing that had come. Of what the output has already nothing is
// fetched. One thread.
#pragma once

#include <functional>
#include <unordered_map>
#include <vector>

#include "engine/restore/chunk_pipeline.h"
#include "engine/restore/disk_output.h"
#include "engine/restore/map_ahead.h"
#include "engine/restore/restore_tally.h"
#include "engine/restore/unproven_ranges.h"

namespace vmferry::restore {

class AnyOrderRestore {
 public:
  AnyOrderRestore(ChunkPipeline& chunks, DiskOutput& output, RestoreTally& tally, const DiskRestoreOptions& options);

  // All of the map. Throws OtherContent where the output only compares, and Error.
  void run(MapAhead& map);

 private:
  // The next entry; nullopt: none just now, or, where it may wait, none any more.
  using Next = std::function<std::optional<MapEntry>(bool may_wait)>;
  using Place = void (AnyOrderRestore::*)(const MapEntry& entry);

  void run_through(const Next& next, Place place);
  void keep_or_want(const MapEntry& entry);
  void want(const MapEntry& entry);
  void write(const ChunkPipeline::Arrival& arrival);
  void write(const MapEntry& entry, const SharedBytes& content);
  void write_what_arrived() noexcept;
  void lose(const MapEntry& entry, const Error& why);

  ChunkPipeline& chunks_;
  DiskOutput& output_;
  RestoreTally& tally_;
  UnprovenRanges unproven_;
  struct ByOffset {
    bool operator()(const MapEntry& a, const MapEntry& b) const noexcept { return a.disk.offset < b.disk.offset; }
  };
  ExternalSorter<MapEntry, ByOffset> wrong_;
  std::unordered_map<ChunkId, std::vector<MapEntry>> places_;  // of chunks that were asked for
  std::size_t places_count_ = 0;
};

}  // namespace vmferry::restore
