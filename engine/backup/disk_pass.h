// DiskPass: one disk's streams through the pipeline: read, cut, hashed, offered, sent; the map's slices to a spool.
// Runs on the calling thread, with readers and compressors beside it.
#pragma once

#include <deque>
#include <functional>
#include <optional>

#include "engine/backup/chunk_sender.h"
#include "engine/backup/chunk_step.h"
#include "engine/backup/delta_run.h"
#include "engine/backup/former_point.h"
#include "engine/backup/map_spool.h"
#include "engine/backup/stream_reader.h"
#include "engine/backup/traffic.h"

namespace vmferry::backup {

struct PassCounts {
  std::uint64_t read_bytes = 0;
  std::uint64_t chunks = 0;        // of data, zeros apart
  std::uint64_t known_chunks = 0;  // the former version's
};

// What a pass works with, beside its disk.
struct PassTools {
  const Chunker& chunker;
  const DomainKey& key;
  SlabPool& pool;
  ChunkSender& sender;
  TrafficLedger& traffic;
  PassCounts& counts;
  bool sign_known = false;         // the signatures of known chunks may have been lost
  std::function<void()> tick;      // called often; it throws to stop the pass
};

class DiskPass {
 public:
  // former: null where there is no base point. index: the disk's, for its accounts.
  DiskPass(const disk::Disk& disk, std::uint32_t index, DiskLayout& layout, FormerDisk* former, MapSpool& map,
           PassTools tools);
  ~DiskPass();
  void run();

 private:
  void use(const SlabPointer& slab);
  void begin_stream(const StreamInfo& info);
  void end_stream();
  void on_cut(const StreamCutter::Cut& cut, const SlabPointer& slab, ByteView content);
  bool known(const StreamCutter::Cut& cut, const SlabPointer& slab, ByteView content);
  void map_slices(const StreamCutter::Cut& cut);

  const disk::Disk& disk_;
  const std::uint32_t index_;
  DiskLayout& layout_;
  FormerDisk* former_;
  MapSpool& map_;
  PassTools tools_;
  ChunkStep step_;
  FormerDisk::Stream former_stream_;
  FormerWindow window_;
  RunBuilder runs_;
  StreamInfo stream_;
  std::uint64_t position_ = 0;     // in the stream, of the next cut
  std::optional<AccountNumber> account_;
  std::deque<Piece> pieces_;       // of the current stream, not cut yet
};

}  // namespace vmferry::backup
