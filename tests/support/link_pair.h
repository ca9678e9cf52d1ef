// Both ends of a link in one process, over memory transports or whatever else makes lines.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "protocol/link/link.h"

namespace vmferry::test {

// The target's side: a LinkServer whose new links wait to be accepted.
class LinkTarget {
 public:
  explicit LinkTarget(const link::LinkServerOptions& options = {});
  ~LinkTarget();
  std::unique_ptr<link::TargetLink> accept();  // waits for one
  link::LinkServer& server() { return *server_; }
  // A dial that reaches this target as `peer` over a memory transport.
  link::Dial dial(std::string peer = "client", std::size_t buffer_bytes = 64 * 1024);

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::unique_ptr<link::TargetLink>> waiting_;
  std::unique_ptr<link::LinkServer> server_;
};

struct LinkPair {
  std::shared_ptr<LinkTarget> target;
  std::unique_ptr<Transport> client;
  std::unique_ptr<link::TargetLink> server;
};
LinkPair link_pair(const link::LinkOptions& options, const link::LinkServerOptions& server_options = {},
                   std::size_t buffer_bytes = 64 * 1024);

}  // namespace vmferry::test
