#include "target-server/cli/session_pool.h"

#include <algorithm>
#include <iostream>

#include "protocol/error.h"

namespace vmferry::target_server {
namespace {

std::mutex log_mutex;

void log_line(const std::string& line) {
  const std::lock_guard guard(log_mutex);
  std::cerr << line << std::endl;
}

}  // namespace

SessionPool::~SessionPool() {
  abort_all();
  for (Session& session : sessions_) session.thread.join();
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

void SessionPool::run(std::unique_ptr<Transport> transport) {
  std::unique_lock guard(mutex_);
  changed_.wait(guard, [&] {
    reap();
    return sessions_.size() < sessions_max_ || aborting_;
  });
  if (aborting_) return;
  Session& session = sessions_.emplace_back();
  session.transport = std::move(transport);
  session.thread = std::thread([this, &session] { serve(session); });
}

void SessionPool::serve(Session& session) {
  try {
    serve_session(*session.transport, store_, options_);
  } catch (const std::exception& error) {
    log_line(std::string("session: ") + error.what());
  }
  session.transport->abort();
  const std::lock_guard guard(mutex_);
  session.done = true;
  last_change_ = std::chrono::steady_clock::now();
  changed_.notify_all();
}

std::optional<std::chrono::steady_clock::time_point> SessionPool::idle_since() {
  const std::lock_guard guard(mutex_);
  const bool idle = std::all_of(sessions_.begin(), sessions_.end(), [](const Session& s) { return s.done; });
  return idle ? std::optional(last_change_) : std::nullopt;
}

bool SessionPool::wait_until_idle(std::chrono::milliseconds at_most) {
  std::unique_lock guard(mutex_);
  return changed_.wait_for(guard, at_most, [&] {
    return aborting_ || std::all_of(sessions_.begin(), sessions_.end(), [](const Session& s) { return s.done; });
  });
}

void SessionPool::abort_all() noexcept {
  const std::lock_guard guard(mutex_);
  aborting_ = true;
  for (Session& session : sessions_)
    if (!session.done) session.transport->abort();
  changed_.notify_all();
}

}  // namespace vmferry::target_server
