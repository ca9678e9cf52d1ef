// ReadRequests: answers what a session asks to read (chunks, lists, points, verification), one after another, on a
// thread of its own, so that a backup's frames and offers never wait behind them. add() belongs to the receiving
// thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

#include "protocol/delta_request.h"
#include "protocol/wire.h"
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
  ReadRequests(store::Store& store, wire::PacketWriter& writer, Transport& transport);
  ~ReadRequests();  // drops what is queued; abort the transport first where the peer may not read

  void add(ReadRequest request);  // waits while too many are queued
  void drain();                   // until all that was added is answered, or the line broke

 private:
  void work();
  void answer(const ReadRequest& request);
  void answer(std::uint64_t number, const FetchRequest& fetch);
  void answer(std::uint64_t number, const DeltasRequest& deltas);
  void answer(std::uint64_t number, const ListRequest& list);
  void answer(std::uint64_t number, const PointRequest& point);
  void answer(std::uint64_t number, const VerifyRequest& verify);
  bool stopping() const;

  store::Store& store_;
  wire::PacketWriter& writer_;
  Transport& transport_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ReadRequest> queue_;
  bool busy_ = false;
  bool stopping_ = false;
  std::unique_ptr<DeltaMaker> delta_maker_;  // the worker's, once it is asked for
  std::thread worker_;
};

}  // namespace vmferry::target_server
