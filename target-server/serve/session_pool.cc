#include "target-server/serve/session_pool.h"

#include <algorithm>

#include "protocol/control.h"
#include "protocol/error.h"
#include "protocol/fair_share.h"
#include "protocol/link/link.h"
#include "target-server/serve/log.h"

namespace vmferry::target_server {
namespace {

std::string waiting_sentence(std::size_t before) {
  return before == 0 ? "the target is busy: this session is the next one"
                     : "the target is busy: " + std::to_string(before) + (before == 1 ? " session is" : " sessions are") +
                           " before this one";
}

bool is_same_client(const access::Access& one, const access::Access& other) {
  return !one.is_owner() && !other.is_owner() && one.name() == other.name();
}

void refuse(Transport& transport) noexcept {
  try {
    wire::PacketWriter writer(transport);
    wire::send_failure(writer, 0,
                       Error(ErrorCode::busy, "the target has too many sessions", {}, "try again in a while"));
    transport.finish_sending();
  } catch (...) {  // as far as the line carries it
  }
}

}  // namespace

SessionPool::~SessionPool() {
  abort_all();
  for (Session& session : sessions_) session.thread.join();
}

std::size_t SessionPool::running() const {
  return static_cast<std::size_t>(std::ranges::count_if(sessions_, [](const Session& s) { return !s.done; }));
}

bool SessionPool::has_place(const access::Access& access) const {
  const auto its = std::ranges::count_if(sessions_, [&](const Session& s) { return !s.done && is_same_client(s.access, access); });
  return running() < limits_.sessions_max && static_cast<std::size_t>(its) < share_of_one(limits_.sessions_max);
}

bool SessionPool::may_wait(const access::Access& access) const {
  const auto its = std::ranges::count_if(waiting_, [&](const Waiting& w) { return is_same_client(w.access, access); });
  return waiting_.size() < limits_.waiting_max && static_cast<std::size_t>(its) < share_of_one(limits_.waiting_max);
}

void SessionPool::reap() {
  for (auto session = sessions_.begin(); session != sessions_.end();) {
    if (!session->done) {
      ++session;
      continue;
    }
    session->thread.join();
    session = sessions_.erase(session);
  }
}

void SessionPool::submit(std::unique_ptr<Transport> transport, access::Access access) {
  {
    const std::lock_guard guard(mutex_);
    reap();
    if (aborting_) return;
    if (has_place(access)) return start(std::move(transport), std::move(access));
    if (may_wait(access)) {
      waiting_.push_back({std::move(transport), std::move(access)});
      return tell_waiting();
    }
  }
  refuse(*transport);
}

void SessionPool::start(std::unique_ptr<Transport> transport, access::Access access) {
  Session& session = sessions_.emplace_back(Session{std::move(transport), std::move(access), {}, false});
  session.thread = std::thread([this, &session] { serve(session); });
}

void SessionPool::start_waiting() {
  bool started = false;
  while (!aborting_) {
    const auto next = std::ranges::find_if(waiting_, [&](const Waiting& each) { return has_place(each.access); });
    if (next == waiting_.end()) break;
    start(std::move(next->transport), std::move(next->access));
    waiting_.erase(next);
    started = true;
  }
  if (started) tell_waiting();
}

void SessionPool::tell_waiting() {
  std::size_t before = 0;
  for (const Waiting& waiting : waiting_) {
    if (auto* link = dynamic_cast<link::TargetLink*>(waiting.transport.get())) link->note(waiting_sentence(before));
    ++before;
  }
}

void SessionPool::serve(Session& session) {
  try {
    serve_session(*session.transport, store_, options_, session.access);
  } catch (const std::exception& error) {
    log_line("session" + (session.access.is_owner() ? "" : " of " + session.access.name()) + ": " + error.what());
  }
  session.transport->abort();
  const std::lock_guard guard(mutex_);
  session.done = true;
  start_waiting();
  if (running() == 0) idle_since_ = std::chrono::steady_clock::now();
  changed_.notify_all();
}

void SessionPool::end_sessions_of(const std::string& client) {
  const std::lock_guard guard(mutex_);
  for (Session& session : sessions_)
    if (!session.done && !session.access.is_owner() && session.access.name() == client) session.transport->abort();
  std::erase_if(waiting_, [&](const Waiting& waiting) {
    return !waiting.access.is_owner() && waiting.access.name() == client;
  });
}

std::vector<std::string> SessionPool::clients() const {
  const std::lock_guard guard(mutex_);
  std::vector<std::string> names;
  for (const Session& session : sessions_)
    if (!session.done && !session.access.is_owner()) names.push_back(session.access.name());
  for (const Waiting& waiting : waiting_)
    if (!waiting.access.is_owner()) names.push_back(waiting.access.name());
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::size_t SessionPool::count() const {
  const std::lock_guard guard(mutex_);
  return running() + waiting_.size();
}

std::chrono::steady_clock::duration SessionPool::idle_for() const {
  const std::lock_guard guard(mutex_);
  if (running() + waiting_.size() > 0) return {};
  return std::chrono::steady_clock::now() - idle_since_;
}

void SessionPool::somebody_came() {
  const std::lock_guard guard(mutex_);
  idle_since_ = std::chrono::steady_clock::now();
}

bool SessionPool::wait_until_idle(std::chrono::milliseconds at_most) {
  std::unique_lock guard(mutex_);
  return changed_.wait_for(guard, at_most, [&] { return aborting_ || (running() == 0 && waiting_.empty()); });
}

void SessionPool::abort_all() noexcept {
  const std::lock_guard guard(mutex_);
  aborting_ = true;
  waiting_.clear();
  for (Session& session : sessions_)
    if (!session.done) session.transport->abort();
  changed_.notify_all();
}

}  // namespace vmferry::target_server
