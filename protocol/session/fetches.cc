#include "protocol/session/fetches.h"

#include <utility>

#include "protocol/delta/delta_frame.h"
#include "protocol/session/malformed.h"
#include "protocol/wire.h"

namespace vmferry::target {

void FetchCall::deliver_delta(ByteView) { malformed("it sent a delta that was not asked for"); }

void FetchCall::fail(std::exception_ptr why) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(why);
}

std::exception_ptr FetchCall::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

std::exception_ptr FetchCall::take_failure() {
  const std::lock_guard lock(mutex_);
  return std::exchange(failure_, nullptr);
}

std::uint64_t Fetches::start(std::shared_ptr<FetchCall> call, std::span<const ChunkId> ids) {
  Request request{std::move(call), {ids.begin(), ids.end()}};
  std::unique_lock lock(mutex_);
  place_free_.wait(lock, [&] { return failed_ || requests_.size() < fetch_requests_in_flight_max; });
  if (failed_) std::rethrow_exception(failed_);
  const std::uint64_t number = next_number_++;
  requests_.emplace(number, std::move(request));
  return number;
}

Fetches::Request& Fetches::find(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = requests_.find(number);
  if (found == requests_.end()) malformed("it answered a request that was not made");
  return found->second;
}

void Fetches::on_fetched(ByteView payload) {
  Request& request = find(wire::take_number(payload));
  try {
    const FrameView frame = parse_frame(payload);
    std::vector<std::size_t> wanted;
    for (std::size_t i = 0; i < frame.chunks.size(); ++i)
      if (request.wanted.erase(frame.chunks[i].id) != 0) wanted.push_back(i);
    if (!wanted.empty() && !request.call->failure()) request.call->deliver(frame, wanted);
  } catch (...) {
    request.call->fail(std::current_exception());
  }
}

void Fetches::on_fetched_delta(ByteView payload) {
  Request& request = find(wire::take_number(payload));
  try {
    for (const FrameChunk& chunk : delta::parse_delta_frame(payload).chunks)
      if (request.wanted.erase(chunk.id) == 0) malformed("it sent a delta of chunks that were not asked for");
    if (!request.call->failure()) request.call->deliver_delta(payload);
  } catch (...) {
    request.call->fail(std::current_exception());
  }
}

void Fetches::on_fetch_end(ByteView payload) {
  const wire::FetchEnd end = wire::parse_fetch_end(payload);
  Request& request = find(end.request);
  const std::shared_ptr<FetchCall> call = request.call;
  for (const auto& failed : end.failed) {
    const char* what = failed.why == wire::NotFetched::missing ? "a chunk is missing at the target"
                                                               : "a chunk is damaged at the target";
    call->fail(std::make_exception_ptr(
        Error(ErrorCode::damaged, what, failed.id.to_string(), "vmferry verify names what it belongs to")));
  }
  if (!request.wanted.empty())
    call->fail(std::make_exception_ptr(
        Error(ErrorCode::damaged, "the target did not send a chunk", request.wanted.begin()->to_string())));
  {
    const std::lock_guard lock(mutex_);
    requests_.erase(end.request);
  }
  place_free_.notify_one();
  call->request_ended();
}

void Fetches::fail_all(std::exception_ptr why) {
  std::map<std::uint64_t, Request> open;
  {
    const std::lock_guard lock(mutex_);
    failed_ = why;
    open.swap(requests_);
  }
  place_free_.notify_all();
  for (auto& [number, request] : open) {
    request.call->fail(why);
    request.call->request_ended();
  }
}

bool Fetches::empty() const {
  const std::lock_guard lock(mutex_);
  return requests_.empty();
}

void FrameOpener::open(const FrameView& frame, std::span<const std::size_t> wanted, const ChunkSource::Use& use) {
  const ByteView content = decoder_.decode(frame);
  std::size_t offset = 0, next_wanted = 0;
  for (std::size_t i = 0; i < frame.chunks.size() && next_wanted < wanted.size(); ++i) {
    const FrameChunk& chunk = frame.chunks[i];
    if (i == wanted[next_wanted]) {
      const ByteView bytes = content.subspan(offset, chunk.length);
      if (chunk_id_of(key_, bytes) != chunk.id)
        throw Error(ErrorCode::damaged, "a chunk from the target is not what its id says", chunk.id.to_string());
      use(chunk.id, bytes);
      ++next_wanted;
    }
    offset += chunk.length;
  }
}

std::vector<ChunkId> distinct(std::span<const ChunkId> ids) {
  std::vector<ChunkId> unique;
  std::unordered_set<ChunkId> seen;
  unique.reserve(ids.size());
  for (const ChunkId& id : ids)
    if (seen.insert(id).second) unique.push_back(id);
  return unique;
}

}  // namespace vmferry::target
