// A session from handshake to restore, over a memory transport, against a real store.
#include <atomic>
#include <set>

#include "tests/unit/session/session_fixture.h"

namespace vmferry::test {
namespace {

class Session : public SessionTest {};

void expect_all_chunks(target::TargetSession& session, const Content& content) {
  std::set<ChunkId> came;
  const std::vector<ChunkId> ids = content.ids();
  session.chunks().get(ids, [&](const ChunkId& id, ByteView bytes) {
    EXPECT_TRUE(came.insert(id).second) << "twice";
    EXPECT_TRUE(std::ranges::equal(bytes, content.chunks.at(id)));
  });
  EXPECT_EQ(came.size(), ids.size());
}

TEST_F(Session, TheHandshakeTellsTheStoreAndItsDomain) {
  const auto session = connect();
  EXPECT_EQ(session->facts().store_uuid, store_->uuid());
  EXPECT_EQ(session->facts().domain_uuid, store_->domain().uuid);
  EXPECT_EQ(session->facts().domain_key, store_->domain().key);
  EXPECT_EQ(session->facts().chunking, store_->domain().chunking);
  EXPECT_GT(session->counts().sent_bytes, 0u);
  EXPECT_GT(session->counts().received_bytes, 0u);
}

TEST_F(Session, ACleanEndIsCleanAtTheServer) {
  connect().reset();
  EXPECT_EQ(served(), "");
}

TEST_F(Session, WhatWasBackedUpComesBackByteForByte) {
  const auto session = connect();
  const Content content = make_content(session->facts(), {}, 1000);
  EXPECT_TRUE(session->open_backup(opening()).bases.empty());
  const target::CommitResult result = back_up(*session, content);
  ASSERT_TRUE(result.committed);
  EXPECT_GT(result.stored_bytes, 0u);
  EXPECT_EQ(result.point.number, 1u);
  EXPECT_GT(result.point.arrived_ms, 0);

  const auto reader = connect("another host");
  ASSERT_EQ(reader->points().size(), 1u);
  EXPECT_EQ(reader->points()[0].uuid, content.point.uuid);
  EXPECT_EQ(reader->point(content.point.uuid), result.point);
  expect_all_chunks(*reader, content);
  EXPECT_TRUE(reader->verify(content.point.uuid, {}).damage.empty());
}

TEST_F(Session, TheSecondBackupLeasesTheFirstAndSendsOnlyWhatIsNew) {
  const auto session = connect();
  session->open_backup(opening());
  const Content first = make_content(session->facts(), {}, 500);
  const target::CommitResult committed = back_up(*session, first);
  ASSERT_TRUE(committed.committed);

  const target::BackupOpened opened = session->open_backup(opening());
  ASSERT_EQ(opened.bases.size(), 1u);
  EXPECT_EQ(opened.bases[0], committed.point);
  const Content second =
      make_content(session->facts(), {}, 500, [](std::size_t i) { return i == 250 ? 9999 : i; });
  const std::size_t sent = send_wanted(*session, second);
  EXPECT_GT(sent, 0u);
  EXPECT_LT(sent, 20u);
  const target::CommitResult result = session->commit(second.point);
  ASSERT_TRUE(result.committed);
  EXPECT_EQ(result.point.number, 2u);
  EXPECT_TRUE(session->verify(second.point.uuid, {}).damage.empty());
}

TEST_F(Session, ACommitNamesWhatIsMissingAndSucceedsOnceItCame) {
  const auto session = connect();
  session->open_backup(opening());
  const Content content = make_content(session->facts(), {}, 300);
  std::vector<ChunkId> all = content.ids();
  const std::vector<ChunkId> held_back(all.begin(), all.begin() + 40);  // data chunks and nodes as they come
  all.erase(all.begin(), all.begin() + 40);
  for (const Bytes& frame : frames_of(content, all)) session->send_frame(frame);
  std::size_t rounds = 0;
  std::set<ChunkId> missed;
  while (true) {
    const target::CommitResult result = session->commit(content.point);
    if (result.committed) break;
    ASSERT_FALSE(result.missing.empty());
    ASSERT_TRUE(session->points().empty());
    for (const ChunkId& id : result.missing) EXPECT_TRUE(missed.insert(id).second);
    for (const Bytes& frame : frames_of(content, result.missing)) session->send_frame(frame);
    ASSERT_LT(++rounds, 4u);
  }
  EXPECT_EQ(missed, std::set<ChunkId>(held_back.begin(), held_back.end()));
}

TEST_F(Session, WhatArrivedBeforeABackupWasClosedIsNotSentAgain) {
  Content content;
  {
    auto session = connect();
    content = make_content(session->facts(), {}, 400);
    session->open_backup(opening());
    for (const Bytes& frame : frames_of(content, content.ids())) session->send_frame(frame);
    session->close_backup();
  }
  EXPECT_EQ(served(), "");
  const auto session = connect();
  session->open_backup(opening());
  EXPECT_EQ(send_wanted(*session, content), 0u);
  EXPECT_TRUE(session->commit(content.point).committed);
}

TEST_F(Session, ManyOffersAreInFlightAndEachGetsItsOwnAnswer) {
  const auto session = connect();
  session->open_backup(opening());
  const Content content = make_content(session->facts(), {}, 200);
  const std::vector<ChunkId> ids = content.ids();
  for (const Bytes& frame : frames_of(content, {ids.begin(), ids.begin() + 100})) session->send_frame(frame);
  session->close_backup();
  session->open_backup(opening());
  std::atomic<std::size_t> right = 0;
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < 4; ++caller)
    callers.emplace_back([&, caller] {
      for (std::size_t i = caller; i < 4 * 500; i += 4) {
        const std::size_t at = i % ids.size();
        session->offer({ids[at]}, [&, at](target::WantBitmap bitmap) {
          if (bitmap.size() == 1 && bitmap[0] == (at >= 100)) ++right;
        });
      }
    });
  for (std::thread& caller : callers) caller.join();
  session->close_backup();  // is answered after all offers
  EXPECT_EQ(right, 2000u);
}

TEST_F(Session, SeveralThreadsReadWhileABackupRuns) {
  const auto session = connect();
  session->open_backup(opening());
  const Content first = make_content(session->facts(), {}, 1500);
  ASSERT_TRUE(back_up(*session, first).committed);
  session->open_backup(opening());
  const Content second = make_content(session->facts(), {}, 800, [](std::size_t i) { return 5000 + i; });
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) readers.emplace_back([&] { expect_all_chunks(*session, first); });
  EXPECT_TRUE(back_up(*session, second).committed);
  for (std::thread& reader : readers) reader.join();
}

TEST_F(Session, FetchAheadDeliversEveryChunkOnceAndThenSaysDone) {
  const auto session = connect();
  session->open_backup(opening());
  const Content content = make_content(session->facts(), {}, 1200);
  ASSERT_TRUE(back_up(*session, content).committed);
  std::set<ChunkId> came;
  std::promise<std::exception_ptr> done;
  session->fetch(
      content.ids(), [&](const ChunkId& id, ByteView bytes) {
        EXPECT_TRUE(came.insert(id).second);
        EXPECT_TRUE(std::ranges::equal(bytes, content.chunks.at(id)));
      },
      [&](std::exception_ptr error) { done.set_value(error); });
  EXPECT_EQ(done.get_future().get(), nullptr);
  EXPECT_EQ(came.size(), content.chunks.size());
}

TEST_F(Session, AChunkThatTheTargetLacksIsNamed) {
  const auto session = connect();
  const ChunkId unknown = chunk_id_of(session->facts().domain_key, as_bytes("never stored"));
  const Error error = error_of([&] { get_chunk(session->chunks(), unknown); });
  EXPECT_EQ(error.code(), ErrorCode::damaged);
  EXPECT_NE(std::string(error.what()).find(unknown.to_string()), std::string::npos);
  std::promise<std::exception_ptr> done;
  session->fetch({unknown}, [](const ChunkId&, ByteView) {}, [&](std::exception_ptr why) { done.set_value(why); });
  EXPECT_NE(done.get_future().get(), nullptr);
  EXPECT_NO_THROW(session->points()) << "the session goes on";
}

TEST_F(Session, WhatAUserOfChunksThrowsComesThroughAndTheSessionGoesOn) {
  const auto session = connect();
  session->open_backup(opening());
  const Content content = make_content(session->facts(), {}, 600);
  ASSERT_TRUE(back_up(*session, content).committed);
  EXPECT_THROW(session->chunks().get(content.ids(), [](const ChunkId&, ByteView) { throw std::runtime_error("full"); }),
               std::runtime_error);
  expect_all_chunks(*session, content);
}

TEST_F(Session, APointThatIsNotThereIsNotFoundAndTheSessionGoesOn) {
  const auto session = connect();
  EXPECT_EQ(error_of([&] { session->point(uuid_of("nothing")); }).code(), ErrorCode::not_found);
  EXPECT_EQ(error_of([&] { session->verify(uuid_of("nothing"), {}); }).code(), ErrorCode::not_found);
  EXPECT_TRUE(session->points().empty());
}

TEST_F(Session, VerifyTellsItsProgressUpToTheEnd) {
  const auto session = connect();
  session->open_backup(opening());
  const Content content = make_content(session->facts(), {}, 1000);
  ASSERT_TRUE(back_up(*session, content).committed);
  std::uint64_t last_done = 0, last_total = 0;
  const auto result = session->verify(content.point.uuid, [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GE(done, last_done);
    last_done = done;
    last_total = total;
  });
  EXPECT_EQ(result.chunks, content.chunks.size());
  EXPECT_GT(last_total, 0u);
  EXPECT_EQ(last_done, last_total);
}

}  // namespace
}  // namespace vmferry::test
