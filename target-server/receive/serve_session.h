// serve_session: the target's half of one session, from handshake to the peer's end, over any transport.
// Returns at the peer's clean end; throws Error{unreachable} when the line broke, Error{malformed} when the peer broke
// the protocol (it was told why, as far as the line carried it). Memory is bounded by limits.h and the options,
// whatever the peer sends. One call per thread; many calls may share the store.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "protocol/transport/deadlines.h"
#include "protocol/transport/transport.h"
#include "target-server/access/access.h"
#include "target-server/receive/turnstile.h"
#include "target-server/serve/read_priority.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

// Of what deltas are rebuilt to: docs/decisions/0005-deltas.md, "At the target".
inline constexpr int rebuild_compression_level_default = 2;

struct ServeOptions {
  std::size_t verify_threads = 1;        // decode and check frames, rebuild deltas, beside the receiving thread
  std::size_t queue_bytes_max = 8u << 20;
  int rebuild_compression_level = rebuild_compression_level_default;
  std::shared_ptr<ReadPriority> read_priority;  // one for all sessions of a server; null: restores have none
  std::shared_ptr<Turnstile> backup_turns;  // of all sessions of one server; null: no bound
  // A peer that has not said hello in time, or does not hang up in time after it was told that the session is over, loses
  // its session and so its place among them. Null: it may take its time.
  std::shared_ptr<Deadlines> deadlines;
  std::chrono::milliseconds hello_timeout{20'000};
  std::chrono::milliseconds last_words_timeout{30'000};
  // Records which controller a client is, that has not said so before; gives the client as it is then.
  std::function<access::ClientRecord(const std::string& client, const Uuid& client_uuid)> bind;
};

void serve_session(Transport& transport, store::Store& store, const ServeOptions& options = {},
                   access::Access access = access::Access::owner());

// Reads back everything that a point names and checks it: trees, chunks against their ids, coverage.
struct PointCheck {
  std::uint64_t chunks = 0, bytes = 0;
  std::vector<std::string> damage;
};
PointCheck check_point(store::Store& store, const RestorePoint& point,
                       const std::function<void(std::uint64_t done, std::uint64_t total)>& progress);

}  // namespace vmferry::target_server
