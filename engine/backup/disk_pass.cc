#include "engine/backup/disk_pass.h"

#include <algorithm>
#include <chrono>

namespace vmferry::backup {
namespace {

constexpr unsigned reader_threads = 2;
constexpr std::size_t reader_slabs_ahead = 6;
constexpr std::chrono::milliseconds wait_for_slab{100};  // then look whether we were cancelled

}  // namespace

DiskPass::DiskPass(const disk::Disk& disk, std::uint32_t index, DiskLayout& layout, FormerDisk* former, MapSpool& map,
                   PassTools tools)
    : disk_(disk),
      index_(index),
      layout_(layout),
      former_(former),
      map_(map),
      tools_(std::move(tools)),
      step_(tools_.chunker, tools_.key,
            [this](const StreamCutter::Cut& cut, const SlabPointer& slab, ByteView content) { on_cut(cut, slab, content); }) {
  tools_.sender.before_flush([this] { runs_.close(); });
}

DiskPass::~DiskPass() { tools_.sender.before_flush({}); }

void DiskPass::run() {
  const std::unique_ptr<StreamWalker> walker = layout_.streams();
  StreamReader reader(disk_, *walker, tools_.pool, reader_threads, reader_slabs_ahead);
  while (true) {
    tools_.tick();
    SlabPointer slab;
    StreamReader::Outcome outcome = reader.next(slab, std::chrono::milliseconds(0));
    if (outcome == StreamReader::Outcome::not_yet) {
      tools_.sender.flush_if_short_of_memory();
      outcome = reader.next(slab, wait_for_slab);
    }
    if (outcome == StreamReader::Outcome::end) break;
    if (outcome == StreamReader::Outcome::slab) use(slab);
  }
  end_stream();
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
    tools_.counts.read_bytes += segment.length;
  }
  tools_.sender.slab_done();
}

void DiskPass::begin_stream(const StreamInfo& info) {
  end_stream();
  pieces_.clear();
  former_stream_ = {};
  stream_ = info;
  if (former_ != nullptr) former_stream_ = former_->stream(info, layout_.volumes());
  window_.begin(former_stream_.cuts.get(), former_stream_.by_place == nullptr);
  runs_.begin(former_stream_.cuts ? &window_ : nullptr);
  const bool by_place = info.kind == StreamKind::opaque || info.kind == StreamKind::outside;
  step_.begin(former_stream_.cuts ? &window_ : nullptr, by_place ? CutRule::as_former : CutRule::exact);
}

void DiskPass::end_stream() {
  runs_.begin(nullptr);
  if (account_)
    tools_.traffic.read(*account_, position_);
  else if (position_ > 0)
    tools_.traffic.unchanged(position_);
  account_.reset();
  position_ = 0;
}

// By its place, or because the former version has it near its place.
bool DiskPass::known(const StreamCutter::Cut& cut, const SlabPointer& slab, ByteView content) {
  if (cut.known) {
    runs_.same_place(position_);
  } else {
    RunBuilder::Placed placed = runs_.place(cut.id, position_, cut.length);
    if (!placed.known) {
      if (!account_) account_ = tools_.traffic.open(index_, stream_);
      tools_.sender.add(cut.id, slab, content, {false, *account_, position_, std::move(placed.run)});
      return false;
    }
  }
  if (tools_.sign_known) tools_.sender.sign(cut.id, slab, content);
  return true;
}

void DiskPass::on_cut(const StreamCutter::Cut& cut, const SlabPointer& slab, ByteView content) {
  if (cut.zero) {
    runs_.skip();
  } else {
    ++tools_.counts.chunks;
    if (known(cut, slab, content)) ++tools_.counts.known_chunks;
  }
  position_ += cut.length;
  map_slices(cut);
}

void DiskPass::map_slices(const StreamCutter::Cut& cut) {
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
