// ClientSession: the controller's half of a session over any transport. Callers send under the writer's lock; one
// receiving thread sorts what comes back: answers to waiting calls, wants to offers, frames to fetches.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "protocol/session/fetches.h"
#include "protocol/session/session_source.h"
#include "protocol/session/target_session.h"
#include "protocol/control.h"
#include "protocol/messages.pb.h"
#include "protocol/wire.h"

namespace vmferry::target {

class ClientSession final : public TargetSession {
 public:
  ClientSession(std::unique_ptr<Transport> transport, const ClientFacts& client, Note note,
                const std::optional<BackupOpening>& early);
  ~ClientSession() override;

  const TargetFacts& facts() const noexcept override { return facts_; }
  TransportCounts counts() const noexcept override { return transport_->counts(); }

  BackupOpened open_backup(const BackupOpening& opening) override;
  void offer(std::vector<ChunkId> ids, std::function<void(WantBitmap)> answered) override;
  void send_frame(ByteView frame) override;
  bool takes_deltas() const noexcept override { return (facts_.features & wire::feature_deltas) != 0; }
  void send_delta(ByteView delta_frame, DeltaAnswered answered) override;
  CommitResult commit(const RestorePoint& point) override;
  void close_backup() override;
  bool takes_replicas() const noexcept override;
  ReplicaOpened open_replica(const ReplicaOpening& opening) override;
  ReplicaCommit commit_replica(ByteView encoded_point) override;

  std::vector<PointSummary> points() override;
  RestorePoint point(const Uuid& uuid) override;
  Bytes encoded_point(const Uuid& uuid) override;
  ChunkSource& chunks() override { return source_; }
  void fetch(std::vector<ChunkId> ids, std::function<void(const ChunkId&, ByteView)> use,
             std::function<void(std::exception_ptr)> done) override;
  void fetch_frames(std::vector<ChunkId> ids, UseFrame use, std::function<void(std::exception_ptr)> done) override;
  void fetch_deltas(std::vector<wire::ChunkWithBasis> chunks, UseDelta use_delta, UseFrame use,
                    std::function<void(std::exception_ptr)> done) override;
  VerifyResult verify(const Uuid& point, const Progress& progress) override;

 private:
  struct Offer {
    std::size_t ids;
    std::function<void(WantBitmap)> answered;
  };
  struct Delta {
    std::vector<ChunkId> ids;  // sorted
    DeltaAnswered answered;
  };
  using Answers = std::deque<messages::Control>;
  class Call;  // one question that waits for its answers

  TargetFacts shake_hands(const ClientFacts& client);
  std::optional<BackupOpened> take_early(const BackupOpening& opening);
  static BackupOpened opened_of(Call& call);

  void send(wire::PacketType type, std::initializer_list<ByteView> parts);
  void cancel(std::uint64_t request) noexcept;
  void send_fetch(const std::shared_ptr<FetchCall>& call, std::span<const ChunkId> ids);
  void throw_if_broken();
  [[noreturn]] void throw_broken();      // with the mutex held
  [[noreturn]] void throw_last_words();

  void receive_all();
  void on_packet(const wire::Packet& packet);
  void on_control(messages::Control control);
  void on_want(ByteView payload);
  void on_delta_done(ByteView payload);
  void break_session(ErrorCode code, const std::string& message);

  const Note note_;
  std::optional<BackupOpening> early_;  // asked for as the first call, and its answer not taken yet
  std::unique_ptr<Transport> transport_;
  wire::PacketWriter writer_;
  wire::PacketReader reader_;
  TargetFacts facts_;
  Fetches fetches_;
  SessionSource source_;
  FrameOpener receiving_opener_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool closing_ = false;
  bool broken_ = false;
  ErrorCode broken_code_ = ErrorCode::unreachable;
  std::string broken_message_;
  std::uint64_t next_number_ = 1;
  std::map<std::uint64_t, Answers> calls_;
  std::map<std::uint64_t, Offer> offers_;
  std::map<std::uint64_t, Delta> deltas_;
  std::thread receiver_;  // last: it uses all of the above
};

}  // namespace vmferry::target
