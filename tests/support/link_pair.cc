#include "tests/support/link_pair.h"

namespace vmferry::test {

LinkTarget::LinkTarget(const link::LinkServerOptions& options)
    : server_(link::LinkServer::create(options, [this](std::unique_ptr<link::TargetLink> made) {
        const std::lock_guard lock(mutex_);
        waiting_.push_back(std::move(made));
        arrived_.notify_one();
      })) {}

LinkTarget::~LinkTarget() {
  std::deque<std::unique_ptr<link::TargetLink>> unclaimed;
  {
    const std::lock_guard lock(mutex_);
    unclaimed.swap(waiting_);
  }
  for (const auto& one : unclaimed) one->abort();
}

std::unique_ptr<link::TargetLink> LinkTarget::accept() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] { return !waiting_.empty(); });
  auto made = std::move(waiting_.front());
  waiting_.pop_front();
  return made;
}

link::Dial LinkTarget::dial(std::string peer, std::size_t buffer_bytes) {
  return [this, peer = std::move(peer), buffer_bytes] {
    auto [here, there] = memory_transport(buffer_bytes);
    server_->take(std::move(there), peer);
    return std::move(here);
  };
}

LinkPair link_pair(const link::LinkOptions& options, const link::LinkServerOptions& server_options,
                   std::size_t buffer_bytes) {
  LinkPair pair;
  pair.target = std::make_shared<LinkTarget>(server_options);
  pair.client = link::open_link(pair.target->dial("client", buffer_bytes), options);
  pair.server = pair.target->accept();
  return pair;
}

}  // namespace vmferry::test
