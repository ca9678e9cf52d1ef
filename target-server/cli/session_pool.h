// SessionPool: runs sessions, one thread each, at most `sessions_max` at a time. Its destructor waits for all of them.
// run() from one thread; abort_all() from any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "protocol/transport/transport.h"
#include "target-server/receive/serve_session.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

class SessionPool {
 public:
  SessionPool(store::Store& store, std::size_t sessions_max, const ServeOptions& options)
      : store_(store), sessions_max_(sessions_max), options_(options) {}
  ~SessionPool();

  void run(std::unique_ptr<Transport> transport);  // waits for a free place
  bool wait_until_idle(std::chrono::milliseconds at_most);
  // Since when there is no session; nullopt while there is one.
  std::optional<std::chrono::steady_clock::time_point> idle_since();
  void abort_all() noexcept;

 private:
  struct Session {
    std::unique_ptr<Transport> transport;
    std::thread thread;
    bool done = false;
  };
  void serve(Session& session);
  void reap();  // under mutex_

  store::Store& store_;
  const std::size_t sessions_max_;
  const ServeOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool aborting_ = false;
  std::chrono::steady_clock::time_point last_change_ = std::chrono::steady_clock::now();
  std::list<Session> sessions_;
};

}  // namespace vmferry::target_server
