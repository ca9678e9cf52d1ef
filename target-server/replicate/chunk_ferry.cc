#include "target-server/replicate/chunk_ferry.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <utility>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/session/fetches.h"

namespace vmferry::target_server {
namespace {

constexpr std::size_t offered_ids_max = 1u << 20;
constexpr std::size_t nodes_per_offer = 256;
constexpr std::size_t chunks_per_request_min = 256;  // while more may come
constexpr std::size_t frame_content_bytes = 512u << 10;

struct Outgoing {
  Bytes frame;
  std::vector<std::size_t> wanted;  // of its chunks; none: the whole frame goes as it is
};

bool fits(const FrameBuilder& builder, std::size_t bytes) {
  return builder.empty() || (builder.content_bytes() + bytes <= frame_content_bytes &&
                             builder.chunk_count() < limits::frame_chunks_max);
}

}  // namespace

// Ids that are offered together, and for nodes their contents beside them.
struct ChunkFerry::Batch {
  std::vector<ChunkId> ids;
  std::vector<Bytes> contents;
  std::size_t bytes = 0;
};

struct ChunkFerry::Crossing {
  std::mutex mutex;
  std::condition_variable changed;
  std::exception_ptr failure;
  bool to_broke = false;             // its next call says why
  std::size_t offers_open = 0, requests_open = 0;
  std::size_t node_bytes = 0;        // offered, or wanted and not yet in a frame
  std::deque<Batch> wanted;          // answered
  std::deque<Outgoing> queue;
  std::size_t queue_bytes = 0;
  bool closed = false;               // no more will come to the queue
  FerryCounts counts;

  bool over() const { return failure || to_broke; }

  void fail(std::exception_ptr why) {
    const std::lock_guard lock(mutex);
    if (!failure) failure = std::move(why);
    changed.notify_all();
  }

  void answered(Batch& batch, const target::WantBitmap& bitmap) {
    const std::lock_guard lock(mutex);
    --offers_open;
    changed.notify_all();
    if (bitmap.size() != batch.ids.size()) {
      to_broke = true;
      return;
    }
    Batch some;
    for (std::size_t i = 0; i < bitmap.size(); ++i) {
      if (!bitmap[i]) continue;
      some.ids.push_back(batch.ids[i]);
      if (batch.contents.empty()) continue;
      some.bytes += batch.contents[i].size();
      some.contents.push_back(std::move(batch.contents[i]));
    }
    node_bytes -= batch.bytes - some.bytes;
    if (!some.ids.empty()) wanted.push_back(std::move(some));
  }

  // Waits for room. False where nobody would send it any more.
  bool put(Outgoing outgoing, std::size_t room) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return over() || queue_bytes == 0 || queue_bytes + outgoing.frame.size() <= room; });
    if (over()) return false;
    queue_bytes += outgoing.frame.size();
    queue.push_back(std::move(outgoing));
    changed.notify_all();
    return true;
  }

  std::optional<Outgoing> take() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return over() || closed || !queue.empty(); });
    if (over() || queue.empty()) return std::nullopt;
    Outgoing outgoing = std::move(queue.front());
    queue.pop_front();
    queue_bytes -= outgoing.frame.size();
    changed.notify_all();
    return outgoing;
  }

  void count(bool whole, std::size_t bytes) {
    const std::lock_guard lock(mutex);
    ++(whole ? counts.whole_frames : counts.new_frames);
    counts.frame_bytes += bytes;
  }
};

ChunkFerry::ChunkFerry(target::TargetSession& from, target::TargetSession& to, const FerryOptions& options)
    : from_(from),
      to_(to),
      options_(options),
      key_(from.facts().domain_key),
      crossing_(std::make_shared<Crossing>()),
      offered_(offered_ids_max),
      chunks_(std::make_unique<Batch>()),
      nodes_(std::make_unique<Batch>()),
      node_frames_(options.compression_level),
      sender_([this] {
        try {
          send_all();
        } catch (...) {
          crossing_->fail(std::current_exception());
        }
      }) {}

ChunkFerry::~ChunkFerry() {
  crossing_->fail(std::make_exception_ptr(Error(ErrorCode::cancelled, "the copy was given up")));
  if (sender_.joinable()) sender_.join();
}

FerryCounts ChunkFerry::counts() const {
  const std::lock_guard lock(crossing_->mutex);
  return crossing_->counts;
}

// --- the owner's thread

void ChunkFerry::add_chunk(const ChunkId& id) {
  if (!offered_.insert(id)) return;
  chunks_->ids.push_back(id);
  if (chunks_->ids.size() == limits::offer_ids_max) offer(*chunks_);
}

void ChunkFerry::add_node(const ChunkId& id, ByteView content) {
  if (!offered_.insert(id)) return;
  nodes_->ids.push_back(id);
  nodes_->contents.emplace_back(content.begin(), content.end());
  nodes_->bytes += content.size();
  if (nodes_->ids.size() == nodes_per_offer) offer(*nodes_);
}

void ChunkFerry::offer(Batch& batch) {
  if (batch.ids.empty()) return;
  wait_until([&] { return crossing_->node_bytes == 0 || crossing_->node_bytes + batch.bytes <= options_.node_bytes_max; });
  const auto offered = std::make_shared<Batch>(std::exchange(batch, {}));
  {
    const std::lock_guard lock(crossing_->mutex);
    ++crossing_->offers_open;
    crossing_->node_bytes += offered->bytes;
    crossing_->counts.offered_chunks += offered->ids.size();
  }
  to_.offer(offered->ids, [crossing = crossing_, offered](target::WantBitmap wanted) {
    crossing->answered(*offered, wanted);
  });
  pump();
}

// Takes what was answered further. Throws what has failed.
void ChunkFerry::pump() {
  options_.tick();
  throw_if_over();
  while (true) {
    Batch batch;
    {
      const std::lock_guard lock(crossing_->mutex);
      if (crossing_->wanted.empty()) return;
      batch = std::move(crossing_->wanted.front());
      crossing_->wanted.pop_front();
      crossing_->node_bytes -= batch.bytes;
      (batch.contents.empty() ? crossing_->counts.sent_chunks : crossing_->counts.sent_nodes) += batch.ids.size();
    }
    if (batch.contents.empty()) {
      wanted_.insert(wanted_.end(), batch.ids.begin(), batch.ids.end());
      if (wanted_.size() >= chunks_per_request_min) ask();
    }
    for (std::size_t i = 0; i < batch.contents.size(); ++i) {
      if (!fits(node_frames_, batch.contents[i].size())) flush_nodes();
      node_frames_.add(batch.ids[i], batch.contents[i]);
    }
  }
}

void ChunkFerry::throw_if_over() {
  {
    const std::lock_guard lock(crossing_->mutex);
    if (crossing_->failure) std::rethrow_exception(crossing_->failure);
    if (!crossing_->to_broke) return;
  }
  static_cast<void>(to_.points());  // throws what the session knows
  throw Error(ErrorCode::unreachable, "the session ended", {}, "run it again: what arrived counts");
}

void ChunkFerry::flush_nodes() {
  if (node_frames_.empty()) return;
  if (!crossing_->put({node_frames_.finish(), {}}, options_.queue_bytes_max)) throw_if_over();
}

void ChunkFerry::ask() {
  std::span<const ChunkId> rest = wanted_;
  while (!rest.empty()) {
    const auto some = rest.first(std::min(rest.size(), target::fetch_ids_per_request_max));
    rest = rest.subspan(some.size());
    {
      const std::lock_guard lock(crossing_->mutex);
      ++crossing_->requests_open;
    }
    const auto done = [crossing = crossing_](std::exception_ptr failure) {
      if (failure) crossing->fail(failure);
      const std::lock_guard lock(crossing->mutex);
      --crossing->requests_open;
      crossing->changed.notify_all();
    };
    const auto use = [crossing = crossing_, room = options_.queue_bytes_max](const FrameView& frame,
                                                                             std::span<const std::size_t> wanted) {
      Outgoing outgoing{Bytes(frame.whole.begin(), frame.whole.end()), {}};
      if (wanted.size() != frame.chunks.size()) outgoing.wanted.assign(wanted.begin(), wanted.end());
      if (!crossing->put(std::move(outgoing), room)) throw Error(ErrorCode::cancelled, "the copy was given up");
    };
    from_.fetch_frames({some.begin(), some.end()}, use, done);
  }
  wanted_.clear();
}

void ChunkFerry::wait_until(const std::function<bool()>& enough) {
  while (true) {
    pump();
    std::unique_lock lock(crossing_->mutex);
    const auto look = [&] { return crossing_->over() || !crossing_->wanted.empty() || enough(); };
    crossing_->changed.wait(lock, look);
    if (!crossing_->over() && crossing_->wanted.empty()) return;
  }
}

void ChunkFerry::finish() {
  offer(*nodes_);
  offer(*chunks_);
  wait_until([this] { return crossing_->offers_open == 0; });
  flush_nodes();
  ask();
  wait_until([this] { return crossing_->requests_open == 0; });
  {
    const std::lock_guard lock(crossing_->mutex);
    crossing_->closed = true;
    crossing_->changed.notify_all();
  }
  sender_.join();
  pump();  // throws what failed last
}

// --- the sender's thread

void ChunkFerry::send_all() {
  target::FrameOpener opener(key_);
  FrameBuilder builder(options_.compression_level);
  const auto flush = [&] {
    if (builder.empty()) return;
    const Bytes frame = builder.finish();
    to_.send_frame(frame);
    crossing_->count(false, frame.size());
  };
  while (const std::optional<Outgoing> outgoing = crossing_->take()) {
    if (outgoing->wanted.empty()) {
      to_.send_frame(outgoing->frame);
      crossing_->count(true, outgoing->frame.size());
      continue;
    }
    opener.open(parse_frame(outgoing->frame), outgoing->wanted, [&](const ChunkId& id, ByteView content) {
      if (!fits(builder, content.size())) flush();
      builder.add(id, content);
    });
  }
  flush();
}

}  // namespace vmferry::target_server
