// InOrderRestore: a disk into an output that is written in disk order: a compressed or sparse one. What comes next is on its
// way meanwhile. One thread.
#pragma once

#include <deque>

#include "engine/restore/chunk_pipeline.h"
#include "engine/restore/map_ahead.h"
#include "engine/restore/restore_tally.h"
#include "engine/restore/sector_writer.h"

namespace vmferry::restore {

class InOrderRestore {
 public:
  InOrderRestore(ChunkPipeline& chunks, SectorWriter& output, RestoreTally& tally)
      : chunks_(chunks), output_(output), tally_(tally) {}

  // All of the map.
  void run(MapAhead& map);

 private:
  void look_ahead(MapAhead& map);
  void write(const MapEntry& entry);

  ChunkPipeline& chunks_;
  SectorWriter& output_;
  RestoreTally& tally_;
  std::deque<MapEntry> ahead_;  // of data: the rest stays holes
};

}  // namespace vmferry::restore
