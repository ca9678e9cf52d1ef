// ReadRequests: answers what a session asks to read (chunks, lists, points, verification) on a thread of its own, so that
// a backup's frames and offers never wait behind it. Questions that are answered at once go first; then chunks, frame by
// frame, of the request that has the least left: so that a restore's look at a tree does not wait behind the megabytes that
// it asked for before; then verifications. add() belongs to the receiving thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "protocol/delta_request.h"
#include "protocol/wire.h"
#include "target-server/serve/read_priority.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

struct FetchRequest {
  std::vector<ChunkId> ids;
  bool only_wanted = false;  // of a frame that holds others too, only these travel
};
struct DeltasRequest {
  std::vector<wire::ChunkWithBasis> chunks;
};
struct ListRequest {};
struct PointRequest {
  Uuid uuid;
};
struct VerifyRequest {
  Uuid point;
};

struct ReadRequest {
  std::uint64_t number = 0;
  std::variant<FetchRequest, DeltasRequest, ListRequest, PointRequest, VerifyRequest> what;
};

class DeltaMaker;

class ReadRequests {
 public:
  // may_read: which points there are for this client; the others are not found. priority: null: backups do not wait for
  // this session's reading.
  using MayRead = std::function<bool(const PointSummary& point)>;
  ReadRequests(store::Store& store, wire::PacketWriter& writer, Transport& transport, MayRead may_read,
               std::shared_ptr<ReadPriority> priority);
  ~ReadRequests();  // drops what is queued; abort the transport first where the peer may not read

  void add(ReadRequest request);  // waits while too many are queued
  void cancel(std::uint64_t number);  // nobody waits for it any more: its answer may be cut short
  void drain();                   // until all that was added is answered, or the line broke

 private:
  // A fetch that is being answered.
  struct OpenFetch {
    std::vector<store::Store::Located> frames;  // in the store's order, the last first
    std::uint64_t bytes_left = 0;
    wire::FetchEnd end;
  };

  void work();
  std::optional<ReadRequest> take_next();  // under mutex_; nullopt: an open fetch goes on
  void answer(const ReadRequest& request);
  void answer(std::uint64_t number, const FetchRequest& fetch);
  void answer(std::uint64_t number, const DeltasRequest& deltas);
  void answer(std::uint64_t number, const ListRequest& list);
  void answer(std::uint64_t number, const PointRequest& point);
  void answer(std::uint64_t number, const VerifyRequest& verify);
  void send_frame_of_shortest();
  void send_frame(OpenFetch& fetch);
  void send_repacked(OpenFetch& fetch);
  static void drop_frames(OpenFetch& fetch);
  RestorePoint readable_point(const Uuid& uuid);
  bool stopping() const;
  bool cancelled(std::uint64_t number) const;

  store::Store& store_;
  wire::PacketWriter& writer_;
  Transport& transport_;
  const MayRead may_read_;
  const std::shared_ptr<ReadPriority> priority_;
  std::unique_ptr<DeltaMaker> delta_maker_;  // the worker's, once it is asked for
  std::vector<OpenFetch> open_;  // the worker's
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ReadRequest> queue_;
  bool busy_ = false;            // a request was taken and is not answered
  std::deque<std::uint64_t> cancelled_;  // the latest numbers
  bool stopping_ = false;
  std::thread worker_;
};

}  // namespace vmferry::target_server
