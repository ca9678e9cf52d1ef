// Damage in the packs, found by verify and named; and sessions over a real socket.
#include "protocol/image_map.h"
#include "tests/unit/session/session_fixture.h"

namespace vmferry::test {
namespace {

class CheckPoint : public SessionTest {};

TEST_F(CheckPoint, DamagedDataIsNamedByItsDiskRangeAndTheRestIsRight) {
  const auto session = connect();
  session->open_backup(opening());
  const Content content = make_content(session->facts(), {}, 200);
  const Bytes first = text_bytes(0, 4096 + Random(0).below(30) * 512);
  const ChunkId id = chunk_id_of(session->facts().domain_key, first);
  // It travels in a frame of its own, so that no tree node is damaged with it.
  session->send_frame(frames_of(content, {id})[0]);
  ASSERT_TRUE(back_up(*session, content).committed);
  damage(id);
  const auto result = session->verify(content.point.uuid, {});
  ASSERT_FALSE(result.damage.empty());
  EXPECT_LE(result.damage.size(), 16u) << "one frame's chunks at most";
  bool named = false;
  for (const std::string& sentence : result.damage)
    named = named || sentence.find("disk disk0, bytes 0 to " + std::to_string(first.size())) != std::string::npos;
  EXPECT_TRUE(named) << result.damage.front();
  EXPECT_GT(result.chunks, 180u);
}

TEST_F(CheckPoint, WhatVerifyFindsDamagedTravelsAgainWithTheNextBackupAndVerifyIsCleanThen) {
  auto session = connect();
  session->open_backup(opening());
  Content content = make_content(session->facts(), {}, 200);
  const ChunkId data = chunk_id_of(session->facts().domain_key, text_bytes(7, 4096 + Random(7).below(30) * 512));
  const ChunkId root = content.point.disks[0].image_map.node;
  for (const ChunkId& id : {data, root}) session->send_frame(frames_of(content, {id})[0]);
  ASSERT_TRUE(back_up(*session, content).committed);
  EXPECT_EQ(session->open_backup(opening()).bases.size(), 1u);
  session->close_backup();
  // The root first: what lies below it cannot be found before it is there again.
  for (const ChunkId& id : {root, data}) {
    damage(id);
    EXPECT_FALSE(session->verify(content.point.uuid, {}).damage.empty());
    EXPECT_FALSE(store_->contains(std::span(&id, 1))[0]);
    // The store remembers it, also where its index finds the pack changed and reads it anew.
    session.reset();
    store_.reset();
    store_ = store::Store::open(directory_ / "store");
    EXPECT_FALSE(store_->contains(std::span(&id, 1))[0]);

    session = connect();
    EXPECT_TRUE(session->open_backup(opening()).bases.empty()) << "else the client would take it for known";
    content.point.uuid = Uuid::random();
    EXPECT_EQ(send_wanted(*session, content), 1u) << "that chunk, and no other";
    ASSERT_TRUE(session->commit(content.point).committed);
    EXPECT_TRUE(session->verify(content.point.uuid, {}).damage.empty());
    EXPECT_FALSE(store_->any_lost());
    EXPECT_FALSE(session->open_backup(opening()).bases.empty());
    session->close_backup();
  }
}

// A client can name what was never there: that is no damage, and costs nobody the base points.
TEST_F(CheckPoint, OnlyWhatWasThereCanBeLost) {
  const auto session = connect();
  session->open_backup(opening());
  const Content content = make_content(session->facts(), {}, 20);
  ASSERT_TRUE(back_up(*session, content).committed);
  EXPECT_EQ(error_of([&] { get_chunk(session->chunks(), ChunkId()); }).code(), ErrorCode::damaged);
  store_->recheck(content.ids(), true);
  EXPECT_FALSE(store_->any_lost());
}

TEST_F(CheckPoint, OnlyAPointThatReachesALostChunkIsNoBaseTillItHasCome) {
  const auto session = connect();
  session->open_backup(opening());
  const Content damaged = make_content(session->facts(), {}, 50);
  const ChunkId lost = chunk_id_of(session->facts().domain_key, text_bytes(7, 4096 + Random(7).below(30) * 512));
  session->send_frame(frames_of(damaged, {lost})[0]);
  ASSERT_TRUE(back_up(*session, damaged).committed);
  const MachineName other{"host", "web2", "disk2"};
  session->open_backup(opening(other));
  const Content sound =
      make_content(session->facts(), other, 50, [](std::size_t i) { return i == 7 ? std::size_t{1007} : i; });
  ASSERT_TRUE(back_up(*session, sound).committed);

  damage(lost);
  EXPECT_FALSE(session->verify(damaged.point.uuid, {}).damage.empty());
  EXPECT_EQ(store_->lost(10), std::vector<ChunkId>{lost});
  EXPECT_EQ(store_->status().lost_chunks, 1u);
  target::BackupOpening both = opening();
  both.base_candidates = {sound.point.uuid, damaged.point.uuid};
  const auto bases = session->open_backup(both).bases;
  ASSERT_EQ(bases.size(), 1u);
  EXPECT_EQ(bases[0].uuid, sound.point.uuid);
  session->close_backup();

  // No point names it any more: it stays lost, and keeps nobody from building on what is there.
  store_->remove_point(damaged.point.uuid, false);
  EXPECT_TRUE(store_->any_lost());
  EXPECT_EQ(session->open_backup(opening(other)).bases.size(), 1u);
}

TEST_F(CheckPoint, APointWhoseTreeLostANodeIsNoBase) {
  const auto session = connect();
  session->open_backup(opening());
  const Content content = make_content(session->facts(), {}, 3000);
  const TreeRoot root = content.point.disks[0].image_map;
  ASSERT_GE(root.levels, 2);
  ChunkId node;  // not the root: only a walk comes across it
  for (const auto& [id, bytes] : content.chunks)
    try {
      if (id != root.node && parse_tree_node(bytes).level == 0) node = id;
    } catch (const Error&) {  // a chunk of data
    }
  ASSERT_NE(node, ChunkId());
  session->send_frame(frames_of(content, {node})[0]);
  ASSERT_TRUE(back_up(*session, content).committed);
  damage(node);
  EXPECT_FALSE(session->verify(content.point.uuid, {}).damage.empty());
  EXPECT_TRUE(session->open_backup(opening()).bases.empty());
}

TEST_F(CheckPoint, ADamagedTreeNodeIsNamedWithWhatCannotBeTold) {
  const auto session = connect();
  session->open_backup(opening());
  const Content content = make_content(session->facts(), {}, 3000);
  const TreeRoot root = content.point.disks[0].image_map;
  ASSERT_GE(root.levels, 2);
  // The root travels in a frame of its own, so that only it is damaged.
  session->send_frame(frames_of(content, {root.node})[0]);
  ASSERT_TRUE(back_up(*session, content).committed);
  damage(root.node);
  const auto fresh = store_->chunk_source();  // nothing of it is cached
  EXPECT_EQ(error_of([&] { get_chunk(*fresh, root.node); }).code(), ErrorCode::damaged);
  const auto result = session->verify(content.point.uuid, {});
  ASSERT_FALSE(result.damage.empty());
  EXPECT_NE(result.damage[0].find("a node of the image map of disk0"), std::string::npos) << result.damage[0];
}

TEST_F(CheckPoint, ASliceThatReachesPastItsChunkIsDamageThoughTheCommitCouldNotTell) {
  const auto session = connect();
  session->open_backup(opening());
  Content content = make_content(session->facts(), {}, 1);
  const Bytes bytes = text_bytes(77, 5000);
  const ChunkId id = chunk_id_of(session->facts().domain_key, bytes);
  content.chunks = {{id, bytes}};
  ImageMapWriter map(session->facts().domain_key,
                     [&](const ChunkId& node, ByteView raw) { content.chunks[node] = Bytes(raw.begin(), raw.end()); });
  map.add({{0, 4096}, MapKind::data, id, 1024});
  PointDisk& disk = content.point.disks[0];
  disk.image_map = map.finish(4096);
  disk.size_bytes = 4096;
  disk.bytes = {4096, 0, 0, 0};
  ASSERT_TRUE(back_up(*session, content).committed);
  const auto result = session->verify(content.point.uuid, {});
  ASSERT_EQ(result.damage.size(), 1u);
  EXPECT_NE(result.damage[0].find("another length"), std::string::npos) << result.damage[0];
}

class OverAUnixSocket : public SessionTest {};

TEST_F(OverAUnixSocket, ABackupAndItsRestoreAreTheSame) {
  const auto listener = listen_unix(directory_ / "socket");
  auto serving = std::async(std::launch::async, [&] {
    const auto end = listener->accept();
    target_server::serve_session(*end, *store_);
  });
  {
    const auto session =
        target::TargetSession::open(connect_unix(directory_ / "socket"), {uuid_of("host"), "host"});
    session->open_backup(opening());
    const Content content = make_content(session->facts(), {}, 800);
    ASSERT_TRUE(back_up(*session, content).committed);
    std::size_t came = 0;
    session->chunks().get(content.ids(), [&](const ChunkId& id, ByteView bytes) {
      ++came;
      EXPECT_TRUE(std::ranges::equal(bytes, content.chunks.at(id)));
    });
    EXPECT_EQ(came, content.chunks.size());
  }
  EXPECT_NO_THROW(serving.get());
}

TEST_F(OverAUnixSocket, WhyTheTargetEndedTheSessionReachesTheClient) {
  const auto listener = listen_unix(directory_ / "socket");
  auto serving = std::async(std::launch::async, [&] {
    const auto end = listener->accept();
    try {
      target_server::serve_session(*end, *store_);
    } catch (const Error&) {
    }
  });
  const auto session = target::TargetSession::open(connect_unix(directory_ / "socket"), {uuid_of("host"), "host"});
  session->open_backup(opening());
  const Bytes no_frame = random_bytes(1, 1 << 20);
  const Error error = error_of([&] {
    for (int i = 0; i < 1000; ++i) session->send_frame(no_frame);
  });
  EXPECT_EQ(error.code(), ErrorCode::malformed) << error.what();
  serving.get();
}

}  // namespace
}  // namespace vmferry::test
