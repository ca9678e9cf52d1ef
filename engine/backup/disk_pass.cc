#include "engine/backup/disk_pass.h"

#include <algorithm>
#include <chrono>

namespace vmferry::backup {
namespace {

constexpr unsigned reader_threads = 2;
constexpr std::size_t slabs_ahead = 6;
constexpr std::chrono::milliseconds wait_for_slab{100};  // then look whether we were cancelled

}  // namespace

DiskPass::DiskPass(const disk::Disk& disk, DiskLayout& layout, FormerDisk* former, const Chunker& chunker,
                   const DomainKey& key, SlabPool& pool, ChunkSender& sender, MapSpool& map, PassCounts& counts,
                   std::function<void()> tick)
    : disk_(disk),
      layout_(layout),
      former_(former),
      pool_(pool),
      sender_(sender),
      map_(map),
      counts_(counts),
      tick_(std::move(tick)),
      step_(chunker, key, sender, [this](const StreamCutter::Cut& cut) { on_cut(cut); }) {}

void DiskPass::run() {
  const std::unique_ptr<StreamWalker> walker = layout_.streams();
  StreamReader reader(disk_, *walker, pool_, reader_threads, slabs_ahead);
  while (true) {
    tick_();
    SlabPointer slab;
    StreamReader::Outcome outcome = reader.next(slab, std::chrono::milliseconds(0));
    if (outcome == StreamReader::Outcome::not_yet) {
      sender_.flush_if_short_of_memory();
      outcome = reader.next(slab, wait_for_slab);
    }
    if (outcome == StreamReader::Outcome::end) return;
    if (outcome == StreamReader::Outcome::slab) use(slab);
  }
}

void DiskPass::use(const SlabPointer& slab) {
  for (const Segment& segment : slab->segments) {
    if (segment.begins) begin_stream(segment.stream);
    for (std::size_t i = segment.pieces_begin; i < segment.pieces_end; ++i) {
      const Piece& piece = slab->pieces[i];
      if (!pieces_.empty() && pieces_.back().disk_offset + pieces_.back().length == piece.disk_offset)
        pieces_.back().length += piece.length;
      else
        pieces_.push_back(piece);
      if (former_stream_.by_place != nullptr)
        former_stream_.by_place->append(ByteRange{piece.disk_offset, piece.length});
    }
    step_.feed(slab, segment.offset, segment.length, segment.ends);
    counts_.read_bytes += segment.length;
  }
  sender_.slab_done();
}

void DiskPass::begin_stream(const StreamInfo& info) {
  pieces_.clear();
  former_stream_ = {};
  if (former_ != nullptr) former_stream_ = former_->stream(info, layout_.volumes());
  const bool by_place = info.kind == StreamKind::opaque || info.kind == StreamKind::outside;
  step_.begin(former_stream_.cuts.get(), by_place ? CutRule::as_former : CutRule::exact);
}

void DiskPass::on_cut(const StreamCutter::Cut& cut) {
  if (!cut.zero) ++counts_.chunks;
  if (cut.known) ++counts_.known_chunks;
  for (std::uint32_t done = 0; done < cut.length;) {
    Piece& piece = pieces_.front();
    const auto take = static_cast<std::uint32_t>(std::min<std::uint64_t>(piece.length, cut.length - done));
    map_.add(MapEntry{ByteRange{piece.disk_offset, take}, cut.zero ? MapKind::zero : MapKind::data, cut.id,
                      cut.zero ? 0 : done});
    piece.disk_offset += take;
    piece.length -= take;
    done += take;
    if (piece.length == 0) pieces_.pop_front();
  }
}

}  // namespace vmferry::backup
