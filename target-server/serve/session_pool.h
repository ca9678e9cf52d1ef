// SessionPool: runs sessions, one thread each, at most sessions_max at a time; the others wait their turn in the order
// in which they came, at most waiting_max of them, and are told so where they can be. One client has at most four fifths of
// the places, so that none keeps all others out. Its destructor ends all of them.
// Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "protocol/transport/transport.h"
#include "target-server/access/access.h"
#include "target-server/receive/serve_session.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

struct PoolLimits {
  std::size_t sessions_max = 256;
  std::size_t waiting_max = 256;
};

class SessionPool {
 public:
  SessionPool(store::Store& store, const PoolLimits& limits, const ServeOptions& options)
      : store_(store), limits_(limits), options_(options) {}
  ~SessionPool();

  // Returns at once. A session that would wait past waiting_max is told `busy` and dropped.
  void submit(std::unique_ptr<Transport> transport, access::Access access);
  // Calls `tell` for each session of this client that runs or waits, then ends it.
  void end_sessions_of(const std::string& client);
  // Names of the clients (not the owner) whose sessions run or wait; each once.
  std::vector<std::string> clients() const;

  std::size_t count() const;  // running and waiting
  bool wait_until_idle(std::chrono::milliseconds at_most);
  void abort_all() noexcept;
  // Of no session: since when. For a server that ends when it is not needed.
  std::chrono::steady_clock::duration idle_for() const;
  void somebody_came();  // whose session may be on its way: from now on it is idle anew

 private:
  struct Session {
    std::unique_ptr<Transport> transport;
    access::Access access;
    std::thread thread;
    bool done = false;
  };
  void start(std::unique_ptr<Transport> transport, access::Access access);  // under mutex_
  void start_waiting();                                                     // under mutex_
  void tell_waiting();                                                      // under mutex_
  void serve(Session& session);
  void reap();  // under mutex_
  std::size_t running() const;  // under mutex_
  bool has_place(const access::Access& access) const;  // under mutex_
  bool may_wait(const access::Access& access) const;   // under mutex_

  store::Store& store_;
  const PoolLimits limits_;
  const ServeOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool aborting_ = false;
  std::list<Session> sessions_;
  struct Waiting {
    std::unique_ptr<Transport> transport;
    access::Access access;
  };
  std::deque<Waiting> waiting_;
  std::chrono::steady_clock::time_point idle_since_ = std::chrono::steady_clock::now();
};

}  // namespace vmferry::target_server
