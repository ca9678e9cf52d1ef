#include "engine/backup/chunk_sender.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "protocol/error.h"
#include "protocol/frame.h"
#include "protocol/limits.h"

namespace vmferry::backup {
namespace {

constexpr std::size_t offered_ids_max = 1u << 20;
constexpr std::size_t ids_per_offer = 1024;

}  // namespace

ChunkSender::ChunkSender(target::TargetSession& session, SlabPool& pool, const SenderOptions& options)
    : session_(session), pool_(pool), options_(options), offered_(offered_ids_max), queue_(std::make_shared<FrameQueue>()) {
  for (unsigned i = 0; i < options.threads; ++i) threads_.emplace_back([this] { compress_loop(); });
}

ChunkSender::~ChunkSender() {
  queue_->fail(std::make_exception_ptr(Error(ErrorCode::cancelled, "the backup was stopped")));
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
}

bool ChunkSender::add(const ChunkId& id, const SlabPointer& slab, ByteView content, bool is_node) {
  if (!offered_.insert(id)) return false;
  if (pending_.owners.empty() || pending_.owners.back() != slab) pending_.owners.push_back(slab);
  pending_.chunks.push_back(OfferedChunk{id, content.data(), static_cast<std::uint32_t>(content.size()), is_node});
  pending_.bytes += content.size();
  if (pending_.chunks.size() == limits::offer_ids_max) flush();
  return true;
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
  if (pool_.exhausted()) flush();
}

void ChunkSender::flush() {
  queue_->throw_if_failed();
  first_of_slab_ = 0;
  if (pending_.chunks.empty()) return;
  std::vector<ChunkId> ids;
  ids.reserve(pending_.chunks.size());
  for (const OfferedChunk& chunk : pending_.chunks) ids.push_back(chunk.id);
  auto batch = std::make_shared<OfferBatch>(std::exchange(pending_, {}));
  queue_->offer_begins();
  session_.offer(std::move(ids), [queue = queue_, batch](target::WantBitmap wanted) {
    queue->answered(std::move(*batch), wanted);
  });
}

void ChunkSender::finish() {
  flush();
  const bool answered = queue_->wait_answered();
  queue_->throw_if_failed();
  if (!answered) {
    static_cast<void>(session_.points());  // throws what the session knows
    throw Error(ErrorCode::unreachable, "the target ended the session", {}, "start the backup again: what arrived counts");
  }
  queue_->close();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  queue_->throw_if_failed();
}

void ChunkSender::compress_loop() try {
  FrameBuilder builder(options_.compression_level);
  while (queue_->fill(builder, options_.frame_bytes)) session_.send_frame(builder.finish());
} catch (...) {
  queue_->fail(std::current_exception());
}

}  // namespace vmferry::backup
