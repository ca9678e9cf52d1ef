#include "protocol/session/reopening_session.h"

#include <algorithm>
#include <unordered_set>

#include "protocol/session/fetches.h"

namespace vmferry::target {
namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned answerless_max = 100;
constexpr std::chrono::milliseconds look_for_cancel_every{200};  // while there is no session
constexpr unsigned verifications_max = 8;

bool may_go_better(ErrorCode code) { return code == ErrorCode::unreachable || code == ErrorCode::busy; }

// The sentence of a broken session's error; nullopt for any other.
std::optional<std::string> why_broken(const std::exception_ptr& error) {
  if (!error) return std::nullopt;
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    if (known.code() == ErrorCode::unreachable) return known.what();
  } catch (...) {
  }
  return std::nullopt;
}

}  // namespace

// One fetch() that has not ended. Its sessions follow each other, so one thread at a time is here.
struct ReopeningSession::PendingFetch {
  std::vector<ChunkId> ids;
  std::unordered_set<ChunkId> delivered;
  std::function<void(const ChunkId&, ByteView)> use;
  std::function<void(std::exception_ptr)> done;
  bool use_failed = false;

  void deliver(const ChunkId& id, ByteView content) {
    if (!delivered.insert(id).second) return;
    try {
      use(id, content);
    } catch (...) {
      use_failed = true;
      throw;
    }
  }
  std::vector<ChunkId> left() {
    std::erase_if(ids, [this](const ChunkId& id) { return delivered.contains(id); });
    delivered.clear();
    return ids;
  }
};

ReopeningSession::ReopeningSession(std::unique_ptr<TargetSession> first, Open open, ReopeningOptions options)
    : open_(std::move(open)),
      options_(std::move(options)),
      facts_(first->facts()),
      source_(*this),
      held_{std::move(first), 1},
      opened_at_(Clock::now()),
      away_since_(opened_at_),
      opener_([this] { work(); }) {}

ReopeningSession::~ReopeningSession() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  opener_.join();
  held_.session.reset();  // which ends what is under way in it
  std::unique_lock lock(mutex_);
  give_up(lock, Error(ErrorCode::unreachable, "the session was closed"));
}

TransportCounts ReopeningSession::counts() const noexcept {
  const std::lock_guard lock(mutex_);
  TransportCounts all = former_;
  if (held_.session) {
    const TransportCounts now = held_.session->counts();
    all.sent_bytes += now.sent_bytes;
    all.received_bytes += now.received_bytes;
  }
  return all;
}

// --- callers

ReopeningSession::Held ReopeningSession::present() {
  const std::lock_guard lock(mutex_);
  if (given_up_) throw Error(*given_up_);
  return held_;
}

void ReopeningSession::report_break(std::uint64_t number, const std::string& why) {
  if (number != held_.number || broken_) return;
  broken_ = true;
  why_broken_ = why;
  changed_.notify_all();
}

ReopeningSession::Held ReopeningSession::await_another(std::uint64_t broken, const std::string& why) {
  std::unique_lock lock(mutex_);
  report_break(broken, why);
  changed_.wait(lock, [&] { return given_up_ || held_.number != broken; });
  if (given_up_) throw Error(*given_up_);
  return held_;
}

template <typename Ask>
auto ReopeningSession::ask_until_answered(Ask ask) {
  Held held = present();
  while (true) {
    std::string why;
    try {
      return ask(*held.session);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::unreachable) throw;
      why = error.what();
    }
    held = await_another(held.number, why);
  }
}

std::vector<PointSummary> ReopeningSession::points() {
  auto points = ask_until_answered([](TargetSession& session) { return session.points(); });
  answered();
  return points;
}

RestorePoint ReopeningSession::point(const Uuid& uuid) {
  RestorePoint found = ask_until_answered([&](TargetSession& session) { return session.point(uuid); });
  answered();
  return found;
}

VerifyResult ReopeningSession::verify(const Uuid& point, const Progress& progress) {
  unsigned tries = 0;
  bool is_last = false;
  VerifyResult result = ask_until_answered([&](TargetSession& session) {
    is_last = ++tries == verifications_max;
    try {
      return session.verify(point, [&](std::uint64_t done_bytes, std::uint64_t total_bytes) {
        answered();
        if (progress) progress(done_bytes, total_bytes);
      });
    } catch (const Error& error) {
      if (!is_last || error.code() != ErrorCode::unreachable) throw;
      throw Error(ErrorCode::failed, "the target went away again and again while it verified the restore point",
                  point.to_string(), "look at its log");
    }
  });
  answered();
  return result;
}

void ReopeningSession::Source::get(std::span<const ChunkId> ids, const Use& use) {
  std::vector<ChunkId> left = distinct(ids);
  std::unordered_set<ChunkId> delivered;
  std::exception_ptr use_failure;
  owner_.ask_until_answered([&](TargetSession& session) {
    std::erase_if(left, [&](const ChunkId& id) { return delivered.contains(id); });
    try {
      session.chunks().get(left, [&](const ChunkId& id, ByteView content) {
        if (!delivered.insert(id).second) return;
        owner_.answered();
        try {
          use(id, content);
        } catch (...) {
          use_failure = std::current_exception();
          throw;
        }
      });
    } catch (const Error&) {
      if (!use_failure) throw;
    }
  });
  if (use_failure) std::rethrow_exception(use_failure);
}

// --- backups

BackupOpened ReopeningSession::open_backup(const BackupOpening& opening) {
  const Held held = present();
  BackupOpened opened = held.session->open_backup(opening);
  const std::lock_guard lock(mutex_);
  backup_number_ = held.number;
  return opened;
}

TargetSession& ReopeningSession::with_backup(Held& held) {
  held = present();
  const std::lock_guard lock(mutex_);
  if (backup_number_ != 0 && backup_number_ != held.number)
    throw Error(ErrorCode::unreachable, "the session that the backup was opened in is gone");
  return *held.session;
}

void ReopeningSession::offer(std::vector<ChunkId> ids, std::function<void(WantBitmap)> answered_with) {
  Held held;
  with_backup(held).offer(std::move(ids), std::move(answered_with));
}

void ReopeningSession::send_frame(ByteView frame) {
  Held held;
  with_backup(held).send_frame(frame);
}

bool ReopeningSession::takes_deltas() const noexcept {
  const std::lock_guard lock(mutex_);
  return held_.session->takes_deltas();
}

void ReopeningSession::send_delta(ByteView delta_frame, DeltaAnswered answered_with) {
  Held held;
  with_backup(held).send_delta(delta_frame, std::move(answered_with));
}

CommitResult ReopeningSession::commit(const RestorePoint& point) {
  Held held;
  return with_backup(held).commit(point);
}

void ReopeningSession::close_backup() {
  Held held;
  with_backup(held).close_backup();
  const std::lock_guard lock(mutex_);
  backup_number_ = 0;
}

// --- fetches

bool ReopeningSession::takes_replicas() const noexcept {
  const std::lock_guard lock(mutex_);
  return held_.session->takes_replicas();
}

ReplicaOpened ReopeningSession::open_replica(const ReplicaOpening& opening) {
  const Held held = present();
  ReplicaOpened opened = held.session->open_replica(opening);
  const std::lock_guard lock(mutex_);
  backup_number_ = held.number;
  return opened;
}

ReplicaCommit ReopeningSession::commit_replica(ByteView encoded_point) {
  Held held;
  return with_backup(held).commit_replica(encoded_point);
}

Bytes ReopeningSession::encoded_point(const Uuid& uuid) {
  return ask_until_answered([&](TargetSession& session) { return session.encoded_point(uuid); });
}

void ReopeningSession::fetch_frames(std::vector<ChunkId> ids, UseFrame use,
                                    std::function<void(std::exception_ptr)> done) {
  present().session->fetch_frames(std::move(ids), std::move(use), std::move(done));
}

void ReopeningSession::fetch_deltas(std::vector<wire::ChunkWithBasis> chunks, UseDelta use_delta, UseFrame use,
                                    std::function<void(std::exception_ptr)> done) {
  present().session->fetch_deltas(std::move(chunks), std::move(use_delta), std::move(use), std::move(done));
}

void ReopeningSession::fetch(std::vector<ChunkId> ids, std::function<void(const ChunkId&, ByteView)> use,
                             std::function<void(std::exception_ptr)> done) {
  const Held held = present();
  const auto pending = std::make_shared<PendingFetch>();
  pending->ids = distinct(ids);
  pending->use = std::move(use);
  pending->done = std::move(done);
  start(pending, held);
}

// Throws only what ends the fetch without a call of done().
void ReopeningSession::start(const Fetch& fetch, const Held& held) {
  try {
    held.session->fetch(
        fetch->ids,
        [this, fetch](const ChunkId& id, ByteView content) {
          answered();
          fetch->deliver(id, content);
        },
        [this, fetch, number = held.number](std::exception_ptr error) {
          const auto why = fetch->use_failed ? std::nullopt : why_broken(error);
          if (!why) return fetch->done(std::move(error));
          broke(fetch, number, *why);
        });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unreachable) throw;
    broke(fetch, held.number, error.what());
  }
}

void ReopeningSession::broke(const Fetch& fetch, std::uint64_t number, const std::string& why) {
  const std::lock_guard lock(mutex_);
  to_ask_again_.push_back(fetch);
  report_break(number, why);
  changed_.notify_all();
}

// --- the thread that opens sessions

void ReopeningSession::note(const std::string& sentence) const {
  if (options_.note) options_.note(sentence);
}

void ReopeningSession::work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (given_up_ && !to_ask_again_.empty())
      give_up(lock, Error(*given_up_));
    else if (broken_ && !given_up_)
      reopen(lock);
    else if (!to_ask_again_.empty())
      ask_again(lock);
    else
      changed_.wait(lock);
  }
}

// nullptr: another try may go better. Throws what is for good.
std::shared_ptr<TargetSession> ReopeningSession::try_to_open() {
  std::unique_ptr<TargetSession> session;
  try {
    session = open_();
  } catch (const Error& error) {
    if (may_go_better(error.code())) return nullptr;
    throw;
  }
  if (session->facts().store_uuid != facts_.store_uuid || session->facts().domain_uuid != facts_.domain_uuid)
    throw Error(ErrorCode::refused, "the target is another store than before",
                "store " + session->facts().store_uuid.to_string(),
                "it was " + facts_.store_uuid.to_string() + ": start again if that is right");
  return session;
}

void ReopeningSession::reopen(std::unique_lock<std::mutex>& lock) {
  if (answers_ != answers_when_opened_ || Clock::now() - opened_at_ > options_.retry_max) away_since_ = Clock::now();
  const Clock::time_point give_up_at = away_since_ + options_.patience;
  const std::string why = why_broken_;
  // One that answers nothing, however often it is reached, is not waited for for ever.
  answerless_ = answers_ != answers_when_opened_ ? 0 : answerless_ + 1;
  if (answerless_ > answerless_max || (answerless_ > 1 && Clock::now() >= give_up_at))
    return give_up(lock, Error(ErrorCode::unreachable, "the target ends every session before it answers",
                               "store " + facts_.store_uuid.to_string(), why));
  lock.unlock();
  note("the target went away (" + why + "); trying to reach it again");
  lock.lock();
  for (auto delay = options_.retry_min;; delay = std::min(delay * 2, options_.retry_max)) {
    std::shared_ptr<TargetSession> session;
    std::optional<Error> failure;
    lock.unlock();
    try {
      if (!is_cancelled()) session = try_to_open();
    } catch (const Error& error) {
      failure = error;
    } catch (const std::exception& error) {
      failure = Error(ErrorCode::failed, "cannot reach the target again", {}, error.what());
    }
    lock.lock();
    if (stopping_) return;
    if (failure) return give_up(lock, *failure);
    if (session) return replace_by(std::move(session), lock);
    const auto wait_until = Clock::now() + delay;
    while (!stopping_ && !is_cancelled() && Clock::now() < wait_until)
      changed_.wait_for(lock, std::min<Clock::duration>(look_for_cancel_every, wait_until - Clock::now()));
    if (stopping_) return;
    if (is_cancelled()) return give_up(lock, Error(ErrorCode::cancelled, "stopped while the target was away"));
    if (Clock::now() >= give_up_at)
      return give_up(lock, Error(ErrorCode::unreachable, "the target went away and did not come back",
                                 "store " + facts_.store_uuid.to_string(), why));
  }
}

void ReopeningSession::replace_by(std::shared_ptr<TargetSession> session, std::unique_lock<std::mutex>& lock) {
  const TransportCounts moved = held_.session->counts();
  former_.sent_bytes += moved.sent_bytes;
  former_.received_bytes += moved.received_bytes;
  answers_when_opened_ = answers_;
  opened_at_ = Clock::now();
  std::shared_ptr<TargetSession> former = std::exchange(held_.session, std::move(session));
  ++held_.number;
  broken_ = false;
  changed_.notify_all();
  lock.unlock();
  former.reset();  // its receiving thread may want the mutex before it ends
  note("the target is back");
  lock.lock();
}

void ReopeningSession::give_up(std::unique_lock<std::mutex>& lock, const Error& why) {
  given_up_ = why;
  const std::vector<Fetch> fetches = std::exchange(to_ask_again_, {});
  changed_.notify_all();
  lock.unlock();
  for (const Fetch& fetch : fetches) fetch->done(std::make_exception_ptr(Error(why)));
  lock.lock();
}

void ReopeningSession::ask_again(std::unique_lock<std::mutex>& lock) {
  const std::vector<Fetch> fetches = std::exchange(to_ask_again_, {});
  const Held held = held_;
  lock.unlock();
  for (const Fetch& fetch : fetches) {
    try {
      if (fetch->left().empty())
        fetch->done(nullptr);
      else
        start(fetch, held);
    } catch (...) {
      fetch->done(std::current_exception());
    }
  }
  lock.lock();
}

}  // namespace vmferry::target
