#include "target-server/replicate/chunk_ferry.h"

#include <algorithm>
#include <utility>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/session/fetches.h"
#include "target-server/serve/frame_repacker.h"

namespace vmferry::target_server {
namespace {

constexpr std::size_t offered_ids_max = 1u << 20;
constexpr std::size_t nodes_per_offer = 256;
constexpr std::size_t chunks_per_request_min = 256;   // while more may come

[[noreturn]] void throw_given_up() { throw Error(ErrorCode::cancelled, "the copy was given up"); }

// On the receiving thread of the session that chunks come from.
target::TargetSession::UseFrame put_frames(const std::shared_ptr<Crossing>& crossing) {
  return [crossing](const FrameView& frame, std::span<const std::size_t> wanted) {
    Outgoing outgoing{Outgoing::Kind::stored_frame, Bytes(frame.whole.begin(), frame.whole.end()), {}};
    if (wanted.size() != frame.chunks.size()) outgoing.wanted.assign(wanted.begin(), wanted.end());
    if (!crossing->put(std::move(outgoing))) throw_given_up();
  };
}

}  // namespace

ChunkFerry::ChunkFerry(target::TargetSession& from, target::TargetSession& to, const FerryOptions& options)
    : from_(from),
      to_(to),
      options_(options),
      deltas_(options.deltas && to.takes_deltas()),
      crossing_(std::make_shared<Crossing>(options.node_bytes_max, options.queue_bytes_max)),
      offered_(offered_ids_max),
      packer_(options.compression_level, deltas_ ? options.base_nodes : nullptr),
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

// --- the owner's thread

void ChunkFerry::add_chunk(wire::ChunkWithBasis chunk) {
  if (!offered_.insert(chunk.id)) return;
  if (!deltas_) chunk.basis.clear();
  chunks_.chunks.push_back(std::move(chunk));
  if (chunks_.chunks.size() == limits::offer_ids_max) offer(chunks_);
}

void ChunkFerry::add_node(wire::ChunkWithBasis node, ByteView content) {
  if (!offered_.insert(node.id)) return;
  nodes_.chunks.push_back(std::move(node));
  nodes_.contents.emplace_back(content.begin(), content.end());
  nodes_.content_bytes += content.size();
  if (nodes_.chunks.size() == nodes_per_offer) offer(nodes_);
}

void ChunkFerry::offer(OfferedChunks& chunks) {
  if (chunks.chunks.empty()) return;
  wait_until([&] { return crossing_->room_for_nodes(chunks.content_bytes); });
  const auto offered = std::make_shared<OfferedChunks>(std::exchange(chunks, {}));
  std::vector<ChunkId> ids;
  for (const wire::ChunkWithBasis& chunk : offered->chunks) ids.push_back(chunk.id);
  crossing_->offer_begins(*offered);
  to_.offer(std::move(ids), [crossing = crossing_, offered](target::WantBitmap wanted) {
    crossing->answered(*offered, wanted);
  });
  pump();
}

// Takes what was answered further. Throws what has failed.
void ChunkFerry::pump() {
  options_.tick();
  throw_if_over();
  while (std::optional<OfferedChunks> some = crossing_->take_wanted()) {
    for (std::size_t i = 0; i < some->chunks.size(); ++i) {
      wire::ChunkWithBasis& chunk = some->chunks[i];
      if (!some->contents.empty()) {
        if (!packer_.fits(some->contents[i].size())) flush_nodes();
        packer_.add(chunk, some->contents[i]);
      } else if (chunk.basis.empty() && (some->again || !options_.from_is_far)) {
        wanted_.push_back(chunk.id);
      } else {
        wanted_deltas_.push_back(std::move(chunk));
      }
    }
    if (wanted_.size() + wanted_deltas_.size() >= chunks_per_request_min) ask();
  }
}

void ChunkFerry::throw_if_over() {
  if (!crossing_->throw_if_failed()) return;
  static_cast<void>(to_.points());  // throws what the session knows
  throw Error(ErrorCode::unreachable, "the session ended", {}, "run it again: what arrived counts");
}

void ChunkFerry::flush_nodes() {
  if (!packer_.empty() && !crossing_->put(packer_.finish())) throw_if_over();
}

void ChunkFerry::ask() {
  for (std::span<const ChunkId> rest = wanted_; !rest.empty();) {
    const auto some = rest.first(std::min(rest.size(), target::fetch_ids_per_request_max));
    ask_whole(some);
    rest = rest.subspan(some.size());
  }
  for (std::span<const wire::ChunkWithBasis> rest = wanted_deltas_; !rest.empty();) {
    const auto some = rest.first(std::min(rest.size(), limits::frame_chunks_max));
    ask_deltas(some);
    rest = rest.subspan(some.size());
  }
  wanted_.clear();
  wanted_deltas_.clear();
}

void ChunkFerry::ask_whole(std::span<const ChunkId> ids) {
  crossing_->request_begins();
  from_.fetch_frames({ids.begin(), ids.end()}, put_frames(crossing_),
                     [crossing = crossing_](std::exception_ptr failure) { crossing->request_ended(failure); });
}

void ChunkFerry::ask_deltas(std::span<const wire::ChunkWithBasis> chunks) {
  crossing_->request_begins();
  const auto put_delta = [crossing = crossing_](ByteView delta_frame) {
    if (!crossing->put({Outgoing::Kind::delta, Bytes(delta_frame.begin(), delta_frame.end()), {}})) throw_given_up();
  };
  from_.fetch_deltas({chunks.begin(), chunks.end()}, put_delta, put_frames(crossing_),
                     [crossing = crossing_](std::exception_ptr failure) { crossing->request_ended(failure); });
}

void ChunkFerry::wait_until(const std::function<bool()>& enough) {
  do pump();
  while (!crossing_->wait(enough));
}

void ChunkFerry::finish() {
  offer(nodes_);
  offer(chunks_);
  wait_until([this] { return crossing_->all_answered(); });
  flush_nodes();
  do {
    ask();
    wait_until([this] { return crossing_->quiet(); });
  } while (!wanted_.empty());  // deltas that were of no use
  crossing_->close();
  sender_.join();
  throw_if_over();
}

// --- the sender's thread

void ChunkFerry::send_all() {
  FrameRepacker repacker(options_.compression_level, from_.facts().domain_key, [this](ByteView frame) {
    to_.send_frame(frame);
    crossing_->sent_new_frame(frame.size());
  });
  while (const std::optional<Outgoing> outgoing = crossing_->take()) {
    if (outgoing->kind == Outgoing::Kind::delta) {
      to_.send_delta(outgoing->bytes, [crossing = crossing_](std::optional<std::vector<ChunkId>> whole) {
        crossing->delta_answered(whole);
      });
    } else if (outgoing->wanted.empty()) {
      to_.send_frame(outgoing->bytes);
    } else {
      repacker.add(parse_frame(outgoing->bytes), outgoing->wanted);
    }
    crossing_->sent(*outgoing);
  }
  repacker.finish();
}

}  // namespace vmferry::target_server
