// What a store survives: kill -9 at any instant, a full disk, a read-only one.
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "../../unit/store/store_fixture.h"

namespace vmferry::store {
namespace {

// A small file system of its own; skips the test where this process may not mount one.
class SmallDisk {
 public:
  explicit SmallDisk(const std::filesystem::path& path) : path_(path) {
    std::filesystem::create_directories(path);
    mounted_ = ::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=8m,mode=700") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  bool make_read_only() const {
    return ::mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=8m,mode=700") == 0;
  }

 private:
  std::filesystem::path path_;
  bool mounted_ = false;
};

TEST(KilledWriter, LosesNothingThatSyncReturnedFor) {
  TemporaryDirectory scratch;
  const std::filesystem::path directory = scratch.path() / "store";
  Store::init(directory);
  std::vector<ChunkId> acknowledged;
  std::vector<Uuid> points;
  const Uuid client = Uuid::random(), machine = Uuid::random();
  std::mt19937_64 random(20);
  for (std::uint64_t round = 0; round < 20; ++round) {
    int told[2];
    ASSERT_EQ(::pipe(told), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      // Appends, syncs, seals and adds points for ever, and tells what is durable.
      const auto store =
          Store::open(directory, {.writable = true, .reserve_fraction = 0, .pack_bytes_target = 60'000, .socket = {}});
      for (std::uint64_t i = 0;; ++i) {
        std::vector<ChunkId> ids = append_frame(*store, round * 1'000'000 + i * 10, 3, 5000);
        store->sync();
        for (const ChunkId& id : ids)
          if (::write(told[1], id.bytes.data(), 32) != 32) ::_exit(1);
        if (i % 5 == 4) {
          Bytes message(32);
          const Uuid uuid = store->add_point(make_point(client, machine)).uuid;
          std::copy(uuid.bytes.begin(), uuid.bytes.end(), message.begin());  // 16 bytes, then zeros
          if (::write(told[1], message.data(), 32) != 32) ::_exit(1);
        }
      }
    }
    ::close(told[1]);
    // Killed after it told a random number of things, in the midst of the next.
    std::size_t left = 1 + random() % 24;
    ChunkId got;
    const auto take = [&] {
      if (std::all_of(got.bytes.begin() + 16, got.bytes.end(), [](std::byte b) { return b == std::byte{0}; }))
        points.push_back(Uuid::from_bytes(ByteView(got.bytes).first(16)));
      else
        acknowledged.push_back(got);
    };
    while (left-- > 0 && ::read(told[0], got.bytes.data(), 32) == 32) take();
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (::read(told[0], got.bytes.data(), 32) == 32) take();
    ::close(told[0]);

    const auto store = Store::open(directory, {.writable = round % 2 == 0, .reserve_fraction = 0, .socket = {}});
    expect_readable(*store, acknowledged);
    for (const Uuid& point : points) ASSERT_NO_THROW(store->point(point));
  }
  EXPECT_GT(acknowledged.size(), 60u);
}

TEST(FullDisk, StopsAppendsAndLosesNothingAndTheStoreIsUsableAgain) {
  TemporaryDirectory scratch;
  const SmallDisk disk(scratch.path() / "disk");
  if (!disk.mounted()) GTEST_SKIP() << "this process may not mount a tmpfs";
  const std::filesystem::path directory = scratch.path() / "disk" / "store";
  const std::filesystem::path ballast = scratch.path() / "disk" / "ballast";
  Store::init(directory);
  write_file(ballast, Bytes(1u << 20));
  std::vector<ChunkId> durable;
  {
    const auto store =
        Store::open(directory, {.writable = true, .reserve_fraction = 0, .pack_bytes_target = 3u << 20, .socket = {}});
    std::vector<ChunkId> appended;
    std::uint64_t next = 0;
    // The kernel's ENOSPC, not the reserve: it is asked for only every 16 MiB.
    const ErrorCode code = error_of([&] {
      for (;; ++next) {
        for (const ChunkId& id : append_frame(*store, next, 1, 30'000)) appended.push_back(id);
        if (next % 8 == 7) {
          store->sync();
          durable = appended;
        }
      }
    });
    EXPECT_EQ(code, ErrorCode::no_space);
    EXPECT_GT(durable.size(), 60u);
    expect_readable(*store, durable);

    std::filesystem::remove(ballast);
    const std::vector<ChunkId> more = append_frame(*store, 1'000'000, 1, 30'000);
    store->sync();
    durable = appended;
    durable.insert(durable.end(), more.begin(), more.end());
    expect_readable(*store, durable);
  }
  expect_readable(*Store::open(directory, {.writable = false, .socket = {}}), durable);
  const auto store = Store::open(directory, {.writable = true, .reserve_fraction = 0, .socket = {}});
  expect_readable(*store, durable);
  EXPECT_THAT(store->notes(), testing::IsEmpty());
}

TEST(ReadOnlyDisk, IsReadWithTheIndexWithoutItAndAfterACrash) {
  TemporaryDirectory scratch;
  const SmallDisk disk(scratch.path() / "disk");
  if (!disk.mounted()) GTEST_SKIP() << "this process may not mount a tmpfs";
  const std::filesystem::path directory = scratch.path() / "disk" / "store";
  Store::init(directory);
  std::vector<ChunkId> ids;
  Uuid point;
  {
    const auto store = Store::open(directory, {.reserve_fraction = 0, .pack_bytes_target = 20'000, .socket = {}});
    for (std::uint64_t i = 0; i < 30; ++i) ids.push_back(append_frame(*store, i)[0]);
    point = store->add_point(make_point(Uuid::random(), Uuid::random())).uuid;
  }
  for (const bool with_index : {true, false}) {
    if (!with_index) std::filesystem::remove(directory / "index.sqlite");
    ASSERT_TRUE(disk.make_read_only());
    {
      const auto store = Store::open(directory, {.writable = false, .socket = {}});
      expect_readable(*store, ids);
      EXPECT_EQ(store->point(point).uuid, point);
      EXPECT_EQ(store->points().size(), 1u);
      EXPECT_EQ(error_of([&] { Store::open(directory); }), ErrorCode::permission);
    }
    ASSERT_EQ(::mount("tmpfs", (scratch.path() / "disk").c_str(), "tmpfs", MS_REMOUNT, "size=8m,mode=700"), 0);
  }
}

}  // namespace
}  // namespace vmferry::store
