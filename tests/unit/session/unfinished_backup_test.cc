// A backup that was interrupted for good: what arrived is pinned, and the next try sends none of it again.
#include <set>

#include "tests/support/breaking_transport.h"
#include "tests/unit/session/session_fixture.h"

namespace vmferry::test {
namespace {

class UnfinishedBackup : public SessionTest {};

TEST_F(UnfinishedBackup, IsPinnedAndTheNextTrySendsNothingThatArrived) {
  target::TargetFacts facts = connect()->facts();
  const Content content = make_content(facts, {}, 1500);
  std::set<ChunkId> arrived;
  std::int64_t since = 0;
  for (std::uint64_t tries = 1; tries <= 4; ++tries) {
    const std::size_t before = arrived.size();
    {
      auto session = target::TargetSession::open(
          std::make_unique<BreakingTransport>(serve_end(), BreakAfter{.sent_bytes = 600'000}), {uuid_of("host"), "host"});
      session->open_backup(opening());
      ASSERT_EQ(store_->pins().size(), 1u);
      // What is sent beyond the break is lost, and so are the answers.
      std::promise<target::WantBitmap> answered;
      const std::vector<ChunkId> ids = content.ids();
      session->offer(ids, [&](target::WantBitmap bitmap) { answered.set_value(std::move(bitmap)); });
      const target::WantBitmap wanted = answered.get_future().get();
      std::vector<ChunkId> missing;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        EXPECT_EQ(wanted[i], !arrived.contains(ids[i]));
        if (wanted[i]) missing.push_back(ids[i]);
      }
      EXPECT_EQ(error_of([&] {
                  for (const Bytes& frame : frames_of(content, missing)) session->send_frame(frame);
                  session->commit(content.point);
                }).code(),
                ErrorCode::unreachable);
    }
    served(tries);  // the session of before is over, and what it got is in the store
    const std::vector<bool> there = store_->contains(content.ids());
    for (std::size_t i = 0; i < there.size(); ++i)
      if (there[i]) arrived.insert(content.ids()[i]);
    EXPECT_GE(arrived.size(), before);  // a memory transport that breaks drops what was not read yet
    ASSERT_EQ(store_->pins().size(), 1u);
    EXPECT_EQ(store_->pins()[0].machine, uuid_of("web1"));
    if (since == 0) since = store_->pins()[0].since;
    EXPECT_EQ(store_->pins()[0].since, since);
  }
  const auto session = connect();
  session->open_backup(opening());
  EXPECT_EQ(send_wanted(*session, content), content.chunks.size() - arrived.size());
  EXPECT_EQ(store_->pins().size(), 1u);
  ASSERT_TRUE(session->commit(content.point).committed);
  EXPECT_TRUE(store_->pins().empty());
}

TEST_F(UnfinishedBackup, ClosedWithoutACommitItStaysPinned) {
  const auto session = connect();
  session->open_backup(opening());
  session->close_backup();
  EXPECT_EQ(store_->pins().size(), 1u);
}

}  // namespace
}  // namespace vmferry::test
