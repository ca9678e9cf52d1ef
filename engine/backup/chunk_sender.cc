#include "engine/backup/chunk_sender.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "engine/backup/delta_encoder.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::backup {
namespace {

constexpr std::size_t offered_ids_max = 1u << 20;
constexpr std::size_t ids_per_offer = 1024;

class Stopwatch {
 public:
  std::uint64_t lap_us() {
    const auto before = std::exchange(at_, std::chrono::steady_clock::now());
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(at_ - before).count());
  }

 private:
  std::chrono::steady_clock::time_point at_ = std::chrono::steady_clock::now();
};

}  // namespace

ChunkSender::ChunkSender(target::TargetSession& session, SlabPool& pool, TrafficLedger& traffic,
                         catalog::SignatureStore* signatures, const SenderOptions& options)
    : session_(session),
      pool_(pool),
      traffic_(traffic),
      signatures_(signatures),
      options_(options),
      deltas_(options.deltas && signatures != nullptr && session.takes_deltas()),
      governor_(options.compression, options.threads),
      offered_(offered_ids_max),
      queue_(std::make_shared<FrameQueue>(options.frame_bytes, options.held_bytes_max)) {
  for (unsigned i = 0; i < options.threads; ++i) threads_.emplace_back([this] { compress_loop(); });
}

ChunkSender::~ChunkSender() {
  queue_->fail(std::make_exception_ptr(Error(ErrorCode::cancelled, "the backup was stopped")));
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
}

void ChunkSender::hold(OfferedChunk chunk, const SlabPointer& slab) {
  if (pending_.owners.empty() || pending_.owners.back() != slab) pending_.owners.push_back(slab);
  pending_.bytes += chunk.length;
  pending_.chunks.push_back(std::move(chunk));
  if (pending_.chunks.size() == limits::offer_ids_max) flush();
}

void ChunkSender::add(const ChunkId& id, const SlabPointer& slab, ByteView content, ChunkFacts facts) {
  if (!offered_.insert(id)) return;
  hold({id, content.data(), static_cast<std::uint32_t>(content.size()), false, true, std::move(facts)}, slab);
}

void ChunkSender::sign(const ChunkId& id, const SlabPointer& slab, ByteView content) {
  if (signatures_ == nullptr || !offered_.insert(id)) return;
  hold({id, content.data(), static_cast<std::uint32_t>(content.size()), false, false, {}}, slab);
}

void ChunkSender::slab_done() {
  std::size_t bytes = 0;
  for (std::size_t i = first_of_slab_; i < pending_.chunks.size(); ++i) bytes += pending_.chunks[i].length;
  if (bytes > 0 && bytes * 2 < pool_.body_bytes()) {
    if (const std::shared_ptr<std::byte> copy = pool_.try_take_buffer(bytes)) {
      std::size_t used = 0;
      for (std::size_t i = first_of_slab_; i < pending_.chunks.size(); ++i) {
        OfferedChunk& chunk = pending_.chunks[i];
        std::memcpy(copy.get() + used, chunk.data, chunk.length);
        chunk.data = copy.get() + used;
        used += chunk.length;
      }
      pending_.owners.back() = copy;  // the slab is the last owner: its chunks came last
    }
  }
  first_of_slab_ = pending_.chunks.size();
  if (pending_.chunks.size() >= ids_per_offer || pending_.bytes >= options_.offer_bytes_max) flush();
}

void ChunkSender::flush_if_short_of_memory() {
  queue_->throw_if_failed();
  if (queue_->broken()) throw_session_ended();
  if (pool_.exhausted()) flush();
}

void ChunkSender::flush() {
  queue_->throw_if_failed();
  if (queue_->broken()) throw_session_ended();
  first_of_slab_ = 0;
  if (pending_.chunks.empty()) return;
  if (before_flush_) before_flush_();
  std::vector<ChunkId> ids;
  ids.reserve(pending_.chunks.size());
  for (const OfferedChunk& chunk : pending_.chunks)
    if (chunk.offered) ids.push_back(chunk.id);
  auto batch = std::make_shared<OfferBatch>(std::exchange(pending_, {}));
  queue_->offer_begins();
  session_.offer(std::move(ids), [queue = queue_, batch, sign = signatures_ != nullptr](target::WantBitmap wanted) {
    queue->answered(std::move(*batch), wanted, sign);
  });
}

void ChunkSender::throw_session_ended() {
  static_cast<void>(session_.points());  // throws what the session knows
  throw Error(ErrorCode::unreachable, "the target ended the session", {}, "start the backup again: what arrived counts");
}

void ChunkSender::finish() {
  flush();
  const bool answered = queue_->wait_answered();
  queue_->throw_if_failed();
  if (!answered) throw_session_ended();
  queue_->close();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  queue_->throw_if_failed();
  if (queue_->broken()) throw_session_ended();
}

void ChunkSender::sign_all(const FrameWork& work) {
  if (signatures_ == nullptr || work.whole) return;
  std::vector<std::pair<ChunkId, Bytes>> made;
  std::size_t at = 0;
  for (const FrameChunk& chunk : work.chunks) {
    if (work.nodes()) break;  // the catalog has them whole
    made.emplace_back(chunk.id, delta::make_signature(ByteView(work.content).subspan(at, chunk.length), options_.signing));
    at += chunk.length;
  }
  for (const OfferedChunk& chunk : work.unwanted)
    if (!signatures_->contains(chunk.id))
      made.emplace_back(chunk.id, delta::make_signature(ByteView(chunk.data, chunk.length), options_.signing));
  signatures_->add(std::move(made));
}

// Shares the frame's bytes out to the streams, by what each chunk added to it.
void ChunkSender::account(const FrameWork& work, const std::vector<std::uint32_t>* literal_bytes, std::size_t wire_bytes) {
  const bool as_delta = literal_bytes != nullptr;
  queue_->count_sent(work, as_delta, wire_bytes);
  if (work.nodes()) return traffic_.nodes_sent(as_delta ? work.content.size() : 0, as_delta ? 0 : work.content.size(), wire_bytes);
  std::vector<TrafficLedger::Sent> parts;
  std::uint64_t weights = 0;
  constexpr std::uint64_t weight_of_naming = 72;  // its id and its basis'
  const auto weight = [&](std::size_t i) { return (as_delta ? (*literal_bytes)[i] : work.chunks[i].length) + weight_of_naming; };
  for (std::size_t i = 0; i < work.chunks.size(); ++i) weights += weight(i);
  std::uint64_t before = 0, shared = 0;
  for (std::size_t i = 0; i < work.chunks.size(); ++i) {
    before += weight(i);
    const std::uint64_t until = wire_bytes * before / weights;
    if (parts.empty() || parts.back().account != work.facts[i].account) parts.push_back({work.facts[i].account, 0, 0, 0});
    if (!work.whole) (as_delta ? parts.back().delta : parts.back().whole) += work.chunks[i].length;  // once
    parts.back().wire += until - shared;
    shared = until;
  }
  traffic_.sent(parts);
}

void ChunkSender::send(const std::shared_ptr<const FrameWork>& work, FrameBuilder& builder, DeltaEncoder* deltas,
                       FrameTiming& timing) {
  Stopwatch watch;
  timing.bytes_in = work->content.size();
  Bytes whole;
  const auto build_whole = [&] {
    whole = builder.build(work->chunks, work->content);
    return whole.size();
  };
  if (auto delta = deltas != nullptr ? deltas->encode(*work, build_whole) : std::nullopt) {
    timing.bytes_out = delta->frame.size();
    timing.compress_us += watch.lap_us();
    queue_->delta_begins(*work);
    session_.send_delta(delta->frame, [queue = queue_, work](std::optional<std::vector<ChunkId>> wanted_whole) {
      queue->delta_answered(*work, wanted_whole);
    });
    timing.blocked_us += watch.lap_us();
    return account(*work, &delta->literal_bytes, delta->frame.size());
  }
  if (whole.empty()) build_whole();
  timing.bytes_out = whole.size();
  timing.compress_us += watch.lap_us();
  session_.send_frame(whole);
  timing.blocked_us += watch.lap_us();
  account(*work, nullptr, whole.size());
}

void ChunkSender::compress_loop() try {
  FrameTiming timing;
  timing.level = governor_.level();
  FrameBuilder builder(timing.level);
  std::optional<DeltaEncoder> deltas;
  if (deltas_) deltas.emplace(*signatures_, timing.level);
  Stopwatch watch;
  while (auto taken = queue_->take()) {
    timing.starved_us += watch.lap_us();
    sign_all(*taken);
    taken->unwanted.clear();
    taken->owners.clear();  // the slabs are free, however long a delta's answer takes
    if (taken->chunks.empty()) continue;
    const auto work = std::make_shared<const FrameWork>(std::move(*taken));
    send(work, builder, deltas ? &*deltas : nullptr, timing);
    governor_.sent(timing);
    const int level = governor_.level();
    if (level != timing.level) {
      builder.set_level(level);
      if (deltas) deltas->set_level(level);
    }
    timing = {};
    timing.level = level;
    watch.lap_us();
  }
} catch (...) {
  queue_->fail(std::current_exception());
}

}  // namespace vmferry::backup
