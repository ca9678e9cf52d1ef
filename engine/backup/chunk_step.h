// ChunkStep: streams' bytes, slab by slab, to chunks: cut and hashed. What cannot be cut yet is carried over into the next
// slab's headroom. One thread.
#pragma once

#include <cstdint>
#include <functional>

#include "engine/backup/slab.h"
#include "engine/backup/stream_cutter.h"

namespace vmferry::backup {

class ChunkStep {
 public:
  // Called for each chunk, in stream order; `content` lies in `slab`.
  using OnCut = std::function<void(const StreamCutter::Cut& cut, const SlabPointer& slab, ByteView content)>;

  ChunkStep(const Chunker& chunker, const DomainKey& key, OnCut on_cut)
      : cutter_(chunker, key), on_cut_(std::move(on_cut)) {}

  void keep_zeros(bool keep) noexcept { cutter_.keep_zeros(keep); }
  void begin(FormerCuts* former, CutRule rule) { cutter_.begin(former, rule); }
  // The stream's next bytes: [offset, offset + length) of the slab's body; 0 where the stream goes on from the slab
  // before. ends: its last ones.
  void feed(const SlabPointer& slab, std::size_t offset, std::size_t length, bool ends);

 private:
  StreamCutter cutter_;
  OnCut on_cut_;
  SlabPointer carried_slab_;
  ByteView carried_;
};

}  // namespace vmferry::backup
