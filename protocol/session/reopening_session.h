// ReopeningSession: a session for reading that outlives its target's process. Where the present session breaks with
// Error{unreachable}, a thread of its own opens a new one, with back-off, for as long as its patience lasts; what was
// asked and not delivered is asked again there: nothing is delivered twice, and every call gets one end. It must be the
// same store: another one is Error{refused}, and the end of it. What is not worth another try (a revoked client, a newer
// version) ends it too.
// A backup, or a copy of points, runs in one session or not at all: its calls go to the session that it was opened in, and fail with it.
// All calls may come from any thread, as TargetSession says; `use` and `done` of fetch() never from two at once.
// Destroying it waits for a try to connect that is under way.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "protocol/error.h"
#include "protocol/session/target_session.h"

namespace vmferry::target {

struct ReopeningOptions {
  // From when a session broke. One that breaks within retry_max of its opening, without an answer, does not begin it anew.
  std::chrono::milliseconds patience{30 * 60'000};
  std::chrono::milliseconds retry_min{500}, retry_max{30'000};  // between tries, doubled
  // Sentences for a person, from the thread that opens sessions: "the target went away ...", "the target is back".
  std::function<void(const std::string&)> note;
  const std::atomic<bool>* cancel = nullptr;        // ends the waiting with Error{cancelled}
};

class ReopeningSession final : public TargetSession {
 public:
  using Open = std::function<std::unique_ptr<TargetSession>()>;

  // open: called from a thread of this object; throws as TargetSession::open() does. Error{unreachable} and Error{busy}
  // are tried again.
  ReopeningSession(std::unique_ptr<TargetSession> first, Open open, ReopeningOptions options);
  ~ReopeningSession() override;

  const TargetFacts& facts() const noexcept override { return facts_; }
  TransportCounts counts() const noexcept override;  // of all sessions

  BackupOpened open_backup(const BackupOpening& opening) override;
  void offer(std::vector<ChunkId> ids, std::function<void(WantBitmap)> answered) override;
  void send_frame(ByteView frame) override;
  bool takes_deltas() const noexcept override;
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
  // These two fail with their session.
  void fetch_frames(std::vector<ChunkId> ids, UseFrame use, std::function<void(std::exception_ptr)> done) override;
  void fetch_deltas(std::vector<wire::ChunkWithBasis> chunks, UseDelta use_delta, UseFrame use,
                    std::function<void(std::exception_ptr)> done) override;
  VerifyResult verify(const Uuid& point, const Progress& progress) override;

 private:
  // The session of now, and which one it is. It must not be let go of on its own receiving thread.
  struct Held {
    std::shared_ptr<TargetSession> session;
    std::uint64_t number = 0;
  };
  struct PendingFetch;
  using Fetch = std::shared_ptr<PendingFetch>;

  class Source final : public ChunkSource {
   public:
    explicit Source(ReopeningSession& owner) : owner_(owner) {}
    void get(std::span<const ChunkId> ids, const Use& use) override;

   private:
    ReopeningSession& owner_;
  };

  Held present();
  Held await_another(std::uint64_t broken, const std::string& why);
  template <typename Ask>
  auto ask_until_answered(Ask ask);
  TargetSession& with_backup(Held& held);
  void answered() noexcept { ++answers_; }

  void start(const Fetch& fetch, const Held& held);
  void broke(const Fetch& fetch, std::uint64_t number, const std::string& why);
  void report_break(std::uint64_t number, const std::string& why);  // under mutex_

  void work();
  void reopen(std::unique_lock<std::mutex>& lock);
  std::shared_ptr<TargetSession> try_to_open();
  void replace_by(std::shared_ptr<TargetSession> session, std::unique_lock<std::mutex>& lock);
  void give_up(std::unique_lock<std::mutex>& lock, const Error& why);
  void ask_again(std::unique_lock<std::mutex>& lock);
  bool is_cancelled() const noexcept { return options_.cancel != nullptr && *options_.cancel; }
  void note(const std::string& sentence) const;

  const Open open_;
  const ReopeningOptions options_;
  const TargetFacts facts_;
  Source source_;
  std::atomic<std::uint64_t> answers_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Held held_;
  bool broken_ = false;                 // held_ is
  std::string why_broken_;
  bool stopping_ = false;
  std::optional<Error> given_up_;       // thrown by every call from then on
  std::vector<Fetch> to_ask_again_;
  std::uint64_t backup_number_ = 0;     // the session that a backup was opened in
  TransportCounts former_;
  std::uint64_t answers_when_opened_ = 0;
  unsigned answerless_ = 0;             // sessions in a row that broke before they answered anything
  std::chrono::steady_clock::time_point opened_at_, away_since_;
  std::thread opener_;                  // last: it uses all of the above
};

}  // namespace vmferry::target
