#include "target-server/replicate/copy_points.h"

#include <thread>

#include "copy_fixture.h"
#include "protocol/error.h"

namespace vmferry::target_server {
namespace {

using test::error_of;
using test::uuid_of;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::size_t disk_chunks = 200;

std::uint64_t first(std::size_t i) { return i; }
// The next day: one chunk in fifty changed.
std::uint64_t second(std::size_t i) { return i % 50 == 7 ? 10'000 + i : i; }

TEST_F(CopyTest, PointsArriveByteForByteAndASecondCopyFindsThemThere) {
  const RestorePoint one = back_up(near(), {}, disk_chunks, first);
  const RestorePoint two = back_up(near(), {}, disk_chunks, second);
  const Copied copied = copy();
  ASSERT_THAT(copied.failures, IsEmpty());
  ASSERT_THAT(copied.points, SizeIs(2));
  EXPECT_EQ(point_files(far()), point_files(near()));
  EXPECT_EQ(open(far())->point(two.uuid), two);
  expect_sound(far(), one.uuid);
  expect_sound(far(), two.uuid);

  EXPECT_THAT(copy().points, IsEmpty());
  EXPECT_LT(far_bytes_, 2000u);
}

TEST_F(CopyTest, WholeFramesTravelAsTheyAreStored) {
  back_up(near(), {}, disk_chunks, first);
  const Copied copied = copy();
  ASSERT_THAT(copied.points, SizeIs(1));
  const FerryCounts& counts = copied.points[0].counts;
  EXPECT_EQ(counts.sent_chunks, disk_chunks);
  EXPECT_GT(counts.whole_frames, disk_chunks / 16);
  EXPECT_LE(counts.new_frames, 1u);  // the nodes
}

TEST_F(CopyTest, OnlyTheWantedChunksOfAFrameTravel) {
  back_up(near(), {}, disk_chunks, first, 64);
  back_up(far(), {"other host", "clone", "other disk"}, disk_chunks,
          [](std::size_t i) { return i % 2 == 0 ? i : 5000 + i; });
  const Copied copied = copy();
  ASSERT_THAT(copied.points, SizeIs(1));
  EXPECT_EQ(copied.points[0].counts.sent_chunks, disk_chunks / 2);
  EXPECT_EQ(copied.points[0].counts.whole_frames, 0u);
  expect_sound(far(), copied.points[0].point.uuid);
}

TEST_F(CopyTest, TheNextPointCostsItsChange) {
  back_up(near(), {}, disk_chunks, first);
  copy();
  const std::uint64_t full_bytes = far_bytes_;
  const RestorePoint two = back_up(near(), {}, disk_chunks, second);
  const Copied copied = copy();
  ASSERT_THAT(copied.points, SizeIs(1));
  const FerryCounts& counts = copied.points[0].counts;
  EXPECT_EQ(counts.sent_chunks, disk_chunks / 50);
  EXPECT_LT(counts.offered_chunks, disk_chunks / 5);  // what the base reaches is not even offered
  EXPECT_LT(far_bytes_, full_bytes / 10);
  expect_sound(far(), two.uuid);
}

TEST_F(CopyTest, APullFetchesTheSame) {
  back_up(near(), {}, disk_chunks, first);
  copy(At::destination);
  const std::uint64_t full_bytes = far_bytes_;
  const RestorePoint two = back_up(near(), {}, disk_chunks, second);
  copy(At::destination);
  EXPECT_LT(far_bytes_, full_bytes / 4);
  EXPECT_EQ(point_files(far()), point_files(near()));
  expect_sound(far(), two.uuid);
}

// Chunks of random bytes, of which some were changed a little.
std::vector<Bytes> edited(bool changed, std::uint64_t seed = 0) {
  std::vector<Bytes> chunks;
  for (std::size_t i = 0; i < 200; ++i) {
    chunks.push_back(test::random_bytes(seed + i, 30'000));
    if (changed && i % 10 == 3) chunks.back()[i * 100] ^= std::byte{0x11};
  }
  return chunks;
}

TEST_F(CopyTest, AChangedChunkTravelsAsItsChangeWhoeverAsks) {
  for (const At at : {At::source, At::destination}) {
    SCOPED_TRACE(at == At::source ? "push" : "pull");
    const std::string name = at == At::source ? "pushed" : "pulled";
    const std::uint64_t seed = at == At::source ? 1000 : 2000;
    const test::MachineName machine{"host", name, name};
    back_up(near(), machine, edited(false, seed));
    copy(at);
    const RestorePoint two = back_up(near(), machine, edited(true, seed));
    const Copied copied = copy(at);
    ASSERT_THAT(copied.points, SizeIs(1));
    EXPECT_EQ(copied.points[0].counts.sent_chunks, 20u);
    EXPECT_GT(copied.points[0].counts.delta_frames, 0u);
    EXPECT_EQ(copied.points[0].counts.whole_again, 0u);
    EXPECT_LT(far_bytes_, 30'000u);  // of 600,000 in the chunks
    expect_sound(far(), two.uuid);
  }
}

TEST_F(CopyTest, WithoutDeltasTheSameArrives) {
  back_up(near(), {}, edited(false));
  copy();
  const RestorePoint two = back_up(near(), {}, edited(true));
  FerryOptions options;
  options.deltas = false;
  ASSERT_THAT(copy(At::source, options).points, SizeIs(1));
  EXPECT_GT(far_bytes_, 600'000u);
  expect_sound(far(), two.uuid);
}

TEST_F(CopyTest, AMissingPointInTheMiddleComesToo) {
  back_up(near(), {}, disk_chunks, first);
  const RestorePoint two = back_up(near(), {}, disk_chunks, second);
  back_up(near(), {}, disk_chunks, first);
  copy();
  open(far())->remove_point(two.uuid, false);
  ASSERT_THAT(copy().points, SizeIs(1));
  EXPECT_EQ(point_files(far()), point_files(near()));
}

TEST_F(CopyTest, TheMachinesNextNumberFollowsThePointsThatCame) {
  back_up(near(), {}, disk_chunks, first);
  back_up(near(), {}, disk_chunks, second);
  copy();
  EXPECT_EQ(back_up(far(), {}, disk_chunks, first).number, 3u);
}

TEST_F(CopyTest, AnotherPointOfTheSameNumberIsRefusedByTheStoreToo) {
  const RestorePoint ours = back_up(near(), {}, disk_chunks, first);
  const RestorePoint theirs = back_up(far(), {}, disk_chunks, second);
  const auto from = connect(near(), "replica", target::ClientRole::replica);
  const auto to = connect(far(), "replica", target::ClientRole::replica);
  Copied copied;
  copy_points({*from, *to, *from}, {summarize(ours)}, {}, {}, copied);
  ASSERT_THAT(copied.failures, SizeIs(1));
  EXPECT_EQ(copied.failures[0].second.code(), ErrorCode::refused);
  EXPECT_THAT(copied.failures[0].second.what(), HasSubstr("backed up to both"));
  EXPECT_EQ(to->points().size(), 1u);
  EXPECT_EQ(to->point(theirs.uuid), theirs);
}

TEST_F(CopyTest, APointThatIsThereAlreadyIsCommittedForNothing) {
  const RestorePoint point = back_up(near(), {}, disk_chunks, first);
  copy();
  const auto before = point_files(far());
  const auto from = connect(near(), "replica", target::ClientRole::replica);
  const auto to = connect(far(), "replica", target::ClientRole::replica);
  Copied copied;
  copy_points({*from, *to, *from}, {summarize(point)}, {}, {}, copied);
  EXPECT_THAT(copied.points, SizeIs(1));
  EXPECT_EQ(point_files(far()), before);
}

TEST_F(CopyTest, StoresOfDifferentDomainsAreRefusedWithWhatToDo) {
  store::Store::init(directory_ / "stranger");
  const auto from = connect(near(), "replica", target::ClientRole::replica);
  const auto to = connect(directory_ / "stranger", "replica", target::ClientRole::replica);
  const Error refused = error_of([&] { check_same_domain(*from, *to); });
  EXPECT_EQ(refused.code(), ErrorCode::refused);
  EXPECT_THAT(refused.what(), HasSubstr("init --store DIR --domain FILE"));
  EXPECT_EQ(error_of([&] { check_same_domain(*from, *from); }).code(), ErrorCode::refused);
}

TEST_F(CopyTest, AClientWithoutTheRoleBringsNoPointsOfOthers) {
  const auto session = connect(far(), "host", target::ClientRole::controller);
  const Error refused = error_of([&] { session->open_replica({uuid_of("other host"), uuid_of("web1"), {}}); });
  EXPECT_EQ(refused.code(), ErrorCode::refused);
  EXPECT_THAT(refused.what(), HasSubstr("replica"));
  EXPECT_THAT(session->points(), IsEmpty());  // the session goes on
}

TEST_F(CopyTest, AMachineInUseIsToldAndTheOthersAreCopied) {
  back_up(near(), {}, disk_chunks, first);
  back_up(near(), {"host", "web2", "disk 2"}, 50, [](std::size_t i) { return 3000 + i; });
  const auto far_store = open(far());
  const auto lease = far_store->lease(uuid_of("host"), uuid_of("web1"), {});
  auto [ours, theirs] = memory_transport();
  std::thread server([&, end = theirs.get()] {
    try {
      serve_session(*end, *far_store);
    } catch (const Error&) {
    }
  });
  {
    const auto from = connect(near(), "replica", target::ClientRole::replica);
    const target::ClientFacts facts{uuid_of("replica"), "replica", target::ClientRole::replica};
    const auto to = target::TargetSession::open(std::move(ours), facts);
    Copied copied;
    copy_points({*from, *to, *from}, from->points(), {}, {}, copied);
    ASSERT_THAT(copied.failures, SizeIs(1));
    EXPECT_EQ(copied.failures[0].second.code(), ErrorCode::busy);
    ASSERT_THAT(copied.points, SizeIs(1));
    EXPECT_EQ(copied.points[0].point.machine_name, "web2");
  }
  server.join();
}

TEST_F(CopyTest, ADamagedChunkOfTheSourceIsNamedAndNothingOfThePointIsThere) {
  const RestorePoint bad = back_up(near(), {}, disk_chunks, first);
  const RestorePoint good = back_up(near(), {"host", "web2", "disk 2"}, 50, [](std::size_t i) { return 3000 + i; });
  damage(near(), bad, 100'000);
  const Copied copied = copy();
  ASSERT_THAT(copied.failures, SizeIs(1));
  EXPECT_EQ(copied.failures[0].first, name_of(summarize(bad)));
  EXPECT_EQ(copied.failures[0].second.code(), ErrorCode::damaged);
  EXPECT_THAT(copied.failures[0].second.what(), HasSubstr("a chunk is damaged"));
  ASSERT_THAT(copied.points, SizeIs(1));
  EXPECT_THAT(open(far())->points(), SizeIs(1));
  expect_sound(far(), good.uuid);
}

TEST_F(CopyTest, WhatTheOtherStoreLostOfTheBaseIsSentAgain) {
  // A frame of its own for each chunk: a neighbour that only the first point has would stay lost.
  const RestorePoint one = back_up(near(), {}, disk_chunks, first, 1);
  copy();
  const RestorePoint two = back_up(near(), {}, disk_chunks, second);
  {
    const ChunkId victim = damage(far(), one, 100'000);
    const auto opened = open(far());
    opened->recheck(std::span(&victim, 1), true);
    ASSERT_TRUE(opened->any_lost());
  }
  const Copied copied = copy();
  ASSERT_THAT(copied.failures, IsEmpty());
  expect_sound(far(), two.uuid);
  EXPECT_FALSE(open(far())->any_lost());
}

}  // namespace
}  // namespace vmferry::target_server
