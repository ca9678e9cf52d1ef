// DiskPass: one disk's streams through the pipeline: read, cut, hashed, offered, sent; the map's slices to a spool.
// Runs on the calling thread, with readers and compressors beside it.
#pragma once

#include <deque>
#include <functional>

#include "engine/backup/chunk_step.h"
#include "engine/backup/former_point.h"
#include "engine/backup/map_spool.h"
#include "engine/backup/stream_reader.h"

namespace vmferry::backup {

struct PassCounts {
  std::uint64_t read_bytes = 0;
  std::uint64_t chunks = 0;        // of data, zeros apart
  std::uint64_t known_chunks = 0;  // by the former version's cuts
};

class DiskPass {
 public:
  // former: null where there is no base point. tick: called often; it throws to stop the pass.
  DiskPass(const disk::Disk& disk, DiskLayout& layout, FormerDisk* former, const Chunker& chunker, const DomainKey& key,
           SlabPool& pool, ChunkSender& sender, MapSpool& map, PassCounts& counts, std::function<void()> tick);
  void run();

 private:
  void use(const SlabPointer& slab);
  void begin_stream(const StreamInfo& info);
  void on_cut(const StreamCutter::Cut& cut);

  const disk::Disk& disk_;
  DiskLayout& layout_;
  FormerDisk* former_;
  SlabPool& pool_;
  ChunkSender& sender_;
  MapSpool& map_;
  PassCounts& counts_;
  std::function<void()> tick_;
  ChunkStep step_;
  FormerDisk::Stream former_stream_;
  std::deque<Piece> pieces_;  // of the current stream, not cut yet
};

}  // namespace vmferry::backup
