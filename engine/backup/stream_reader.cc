#include "engine/backup/stream_reader.h"

#include <algorithm>
#include <utility>

namespace vmferry::backup {

StreamReader::StreamReader(const disk::Disk& disk, StreamWalker& walker, SlabPool& pool, unsigned threads,
                           std::size_t slabs_ahead)
    : disk_(disk), walker_(walker), pool_(pool), slabs_ahead_(std::max<std::size_t>(slabs_ahead, threads)) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { read_loop(); });
}

StreamReader::~StreamReader() {
  stop_ = true;
  pool_.wake();
  {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

StreamReader::Outcome StreamReader::next(SlabPointer& slab, std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  const auto there = [this] { return error_ || ready_.contains(next_) || (end_ && next_ == *end_); };
  if (!changed_.wait_for(lock, wait, there)) return Outcome::not_yet;
  if (error_) std::rethrow_exception(error_);
  const auto found = ready_.find(next_);
  if (found == ready_.end()) return Outcome::end;
  slab = std::move(found->second);
  ready_.erase(found);
  ++next_;
  changed_.notify_all();
  return Outcome::slab;
}

void StreamReader::read_loop() try {
  while (true) {
    SlabPointer slab;
    std::uint64_t number = 0;
    {
      // The slab is taken under the lock too, so that of all slabs that wait for memory the next one in order gets it.
      const std::lock_guard planning(plan_mutex_);
      if (walker_done_) return;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stop_ || planned_ < next_ + slabs_ahead_; });
      }
      slab = pool_.take(stop_);
      if (!slab) return;
      if (!plan(*slab)) {
        walker_done_ = true;
        const std::lock_guard lock(mutex_);
        end_ = planned_;
        changed_.notify_all();
        return;
      }
      number = planned_++;
    }
    read(*slab);
    const std::lock_guard lock(mutex_);
    ready_.emplace(number, std::move(slab));
    changed_.notify_all();
  }
} catch (...) {
  fail(std::current_exception());
}

// Fills the slab with pieces of streams; false where there are none left.
bool StreamReader::plan(Slab& slab) {
  std::size_t used = 0;
  while (used < slab.capacity) {
    if (!stream_) {
      stream_ = walker_.next_stream();
      if (!stream_) break;
      piece_ = walker_.next_piece();
      if (!piece_) {
        stream_.reset();
        continue;
      }
      stream_begins_ = true;
    }
    Segment segment{*stream_, used, 0, std::exchange(stream_begins_, false), false, slab.pieces.size(), 0};
    while (piece_ && used < slab.capacity) {
      const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(piece_->length, slab.capacity - used));
      slab.pieces.push_back(Piece{piece_->offset, take});
      used += take;
      segment.length += take;
      piece_->offset += take;
      piece_->length -= take;
      if (piece_->length == 0) piece_ = walker_.next_piece();
    }
    segment.pieces_end = slab.pieces.size();
    segment.ends = !piece_;
    if (segment.ends) stream_.reset();
    slab.segments.push_back(std::move(segment));
  }
  return used > 0;
}

void StreamReader::read(Slab& slab) const {
  struct Request {
    std::uint64_t disk_offset;
    std::size_t into;
    std::size_t length;
  };
  std::vector<Request> requests;
  std::size_t into = 0;
  for (const Piece& piece : slab.pieces) {
    const auto length = static_cast<std::size_t>(piece.length);
    if (!requests.empty() && requests.back().disk_offset + requests.back().length == piece.disk_offset)
      requests.back().length += length;
    else
      requests.push_back(Request{piece.disk_offset, into, length});
    into += length;
  }
  std::sort(requests.begin(), requests.end(),
            [](const Request& a, const Request& b) { return a.disk_offset < b.disk_offset; });
  for (const Request& request : requests) {
    if (stop_) return;
    disk_.read(request.disk_offset, std::span(slab.body() + request.into, request.length));
  }
}

void StreamReader::fail(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
  changed_.notify_all();
}

}  // namespace vmferry::backup
