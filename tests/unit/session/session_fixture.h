// A real store behind real sessions, each served on a thread of its own over a memory transport or a Unix socket; and
// a small machine to back up.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <map>
#include <thread>

#include "protocol/session/target_session.h"
#include "protocol/error.h"
#include "target-server/receive/serve_session.h"
#include "target-server/store/store.h"
#include "tests/support/content.h"
#include "tests/support/made_point.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::test {

// A session with a target that shakes hands, saying that it has these features, and then does as `then` says.
std::unique_ptr<target::TargetSession> connect_to(std::future<void>& target, std::function<void(Transport&)> then,
                                                  std::uint64_t features = 0);

class SessionTest : public testing::Test {
 protected:
  SessionTest();
  ~SessionTest() override;

  // A session in this process, as file:// targets have it.
  std::unique_ptr<target::TargetSession> connect(const std::string& client = "host");
  // What serve_session ended with: "" for the peer's clean end. Of the sessions in the order of their connect().
  std::string served(std::size_t session = 0);

  target::BackupOpening opening(const MachineName& name = {}) const;
  // Offers all, sends what is wanted, commits. The frames that were sent are counted in sent_chunks.
  target::CommitResult back_up(target::TargetSession& session, const Content& content);
  std::size_t send_wanted(target::TargetSession& session, const Content& content);

  std::unique_ptr<Transport> serve_end();  // the client's end of a served transport
  // Flips a byte in the middle of the stored frame that holds this chunk.
  void damage(const ChunkId& id);

  TemporaryDirectory directory_;
  std::unique_ptr<store::Store> store_;
  target_server::ServeOptions options_;
  access::Access access_ = access::Access::owner();  // of the sessions that are opened next
  std::vector<std::future<std::string>> served_;
};

}  // namespace vmferry::test
