// Fetches: the requests for chunks that are under way, at most requests_in_flight_max, each of at most
// ids_per_request_max ids. Callers start them from any thread; what comes back is handed to each request's FetchCall
// on the session's receiving thread, which nothing here ever blocks.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_set>
#include <vector>

#include "protocol/chunk_source.h"
#include "protocol/frame.h"

namespace vmferry::target {

inline constexpr std::size_t fetch_requests_in_flight_max = 16;
inline constexpr std::size_t fetch_ids_per_request_max = 4096;

// One call of fetch() or get(), which makes one request or more. deliver() and request_ended() are called on the
// receiving thread; an exception from deliver() becomes the call's failure.
class FetchCall {
 public:
  virtual ~FetchCall() = default;
  // wanted: indices into frame.chunks of those that were asked for and not delivered yet. Not verified yet.
  virtual void deliver(const FrameView& frame, std::span<const std::size_t> wanted) = 0;
  // The same of a delta frame (protocol/delta/delta_frame.h), all of whose chunks were asked for: by fetch_deltas().
  virtual void deliver_delta(ByteView delta_frame);
  virtual void request_ended() = 0;

  void fail(std::exception_ptr why);  // the first failure is kept
  std::exception_ptr failure() const;
  // For who rethrows it: the exception then belongs to that thread alone, whenever the receiving thread lets go.
  std::exception_ptr take_failure();

 private:
  mutable std::mutex mutex_;
  std::exception_ptr failure_;
};

class Fetches {
 public:
  // Waits for a place in flight. Returns the request's number; the caller then sends it. Throws what fail_all() was
  // given, if it was called.
  std::uint64_t start(std::shared_ptr<FetchCall> call, std::span<const ChunkId> ids);

  // On the receiving thread. Throw Error{malformed} where the target breaks the protocol.
  void on_fetched(ByteView payload);
  void on_fetched_delta(ByteView payload);
  void on_fetch_end(ByteView payload);
  void fail_all(std::exception_ptr why);

  bool empty() const;

 private:
  struct Request {
    std::shared_ptr<FetchCall> call;
    std::unordered_set<ChunkId> wanted;
  };
  Request& find(std::uint64_t number);

  mutable std::mutex mutex_;
  std::condition_variable place_free_;
  std::map<std::uint64_t, Request> requests_;  // only the receiving thread removes
  std::uint64_t next_number_ = 1;
  std::exception_ptr failed_;
};

// FrameOpener: decodes a frame and verifies the chunks that are wanted, and no others. One thread.
class FrameOpener {
 public:
  explicit FrameOpener(const DomainKey& key) : key_(key) {}
  // Throws Error{damaged} where content is not what its id says.
  void open(const FrameView& frame, std::span<const std::size_t> wanted, const ChunkSource::Use& use);

 private:
  DomainKey key_;
  FrameDecoder decoder_;
};

// ids without repetition, in the order of their first appearance.
std::vector<ChunkId> distinct(std::span<const ChunkId> ids);

}  // namespace vmferry::target
