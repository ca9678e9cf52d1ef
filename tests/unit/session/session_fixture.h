// A real store behind real sessions, each served on a thread of its own over a memory transport or a Unix socket; and
// a small machine to back up.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <map>
#include <thread>

#include "protocol/session/target_session.h"
#include "protocol/error.h"
#include "protocol/image_map.h"
#include "target-server/receive/serve_session.h"
#include "target-server/store/store.h"
#include "tests/support/content.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::test {

inline Uuid uuid_of(std::string_view name) { return Uuid::derived(as_bytes(name)); }

// The sentence and code of what a call throws.
template <typename Call>
Error error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::failed, "nothing was thrown");
}

// Chunks that a backup would make, and the point that names them.
struct Content {
  std::map<ChunkId, Bytes> chunks;
  RestorePoint point;

  std::vector<ChunkId> ids() const {
    std::vector<ChunkId> all;
    for (const auto& [id, bytes] : chunks) all.push_back(id);
    return all;
  }
};

struct MachineName {
  std::string client = "host", machine = "web1", disk = "disk";
};

// A disk of these chunks, one after another, and some free space.
Content content_of(const target::TargetFacts& facts, const MachineName& name, std::span<const Bytes> chunks);
// A disk of `count` chunks: chunk i is content number seeds(i).
Content make_content(const target::TargetFacts& facts, const MachineName& name, std::size_t count,
                     const std::function<std::uint64_t(std::size_t)>& seeds = [](std::size_t i) { return i; });

// All chunks of `content` whose ids are in `ids`, in frames of several.
std::vector<Bytes> frames_of(const Content& content, const std::vector<ChunkId>& ids,
                             std::size_t chunks_per_frame = 16);

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
