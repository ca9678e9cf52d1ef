// Changes and locks: what tells us that a disk is in use.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "protocol/limits.h"
#include "tests/unit/disk/disk_model.h"
#include "tests/unit/disk/images.h"

namespace vmferry::disk::test {
namespace {

using limits::MiB;

class DiskFiles : public ::testing::Test {
 protected:
  DiskFiles() {
    write_file(folder / "d-flat.vmdk", Bytes(MiB));
    write_file(folder / "d.vmdk", descriptor("monolithicFlat", "RW 2048 FLAT \"d-flat.vmdk\" 0\n"));
    disk = open_disk(folder / "d.vmdk");
  }
  TemporaryFolder folder;
  std::unique_ptr<Disk> disk;
};

TEST_F(DiskFiles, ADiskNobodyTouchesIsUnchangedAndFree) {
  Bytes bytes(MiB);
  disk->read(0, bytes);
  EXPECT_EQ(disk->files().size(), 2U);
  EXPECT_TRUE(changed_files(disk->files()).empty());
  EXPECT_TRUE(locks_on(disk->files()).empty());
}

TEST_F(DiskFiles, AWrittenAReplacedAndAMissingFileAreTold) {
  const int file = ::open((folder / "d-flat.vmdk").c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(::pwrite(file, "x", 1, 0), 1);
  ::close(file);
  // The clock of file times is coarse: the test sets what time would have set.
  std::filesystem::last_write_time(folder / "d-flat.vmdk", std::filesystem::file_time_type::clock::now());
  ASSERT_EQ(changed_files(disk->files()).size(), 1U);
  EXPECT_EQ(changed_files(disk->files())[0].filename(), "d-flat.vmdk");
  std::filesystem::remove(folder / "d.vmdk");
  EXPECT_EQ(changed_files(disk->files()).size(), 2U);
}

TEST_F(DiskFiles, AReplacedFileIsNotRead) {
  write_file(folder / "new", Bytes(MiB, std::byte{1}));
  std::filesystem::rename(folder / "new", folder / "d-flat.vmdk");
  Bytes bytes(512);
  EXPECT_EQ(code_of([&] { disk->read(0, bytes); }), ErrorCode::failed);
}

TEST_F(DiskFiles, WorkstationsLockFoldersCountOnlyWithContent) {
  std::filesystem::create_directory(folder / "d.vmdk.lck");
  EXPECT_TRUE(locks_on(disk->files()).empty()) << "an empty folder is a leftover";
  write_file(folder / "d.vmdk.lck" / "M12345.lck", "lock");
  EXPECT_EQ(locks_on(disk->files()).size(), 1U);
}

TEST_F(DiskFiles, EsxLocksOnNfsAreFoundByTheInode) {
  const std::uint64_t inode = disk->files()[0].inode;
  ByteWriter id;
  id.u64(inode);
  write_file(folder / (".lck-" + to_hex(id.view())), "lock");
  EXPECT_EQ(locks_on(disk->files()).size(), 1U);
}

// Another process takes a lock in three ways; asking neither breaks it nor leaves one of ours.
TEST_F(DiskFiles, LocksOfOtherProcessesAreSeenAndKept) {
  for (const int way : {0, 1, 2}) {
    int ready[2], done[2];
    ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(done, O_CLOEXEC), 0);
    const std::string path = folder / "d-flat.vmdk";
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
      struct flock lock {};
      lock.l_type = F_WRLCK;
      lock.l_whence = SEEK_SET;
      const int failed = way == 0   ? ::flock(file, LOCK_EX)
                         : way == 1 ? ::fcntl(file, F_SETLK, &lock)
                                    : ::fcntl(file, F_OFD_SETLK, &lock);
      char byte = failed == 0 ? 'y' : 'n';
      (void)!::write(ready[1], &byte, 1);
      (void)!::read(done[0], &byte, 1);
      ::_exit(0);
    }
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    ASSERT_EQ(byte, 'y');
    EXPECT_EQ(locks_on(disk->files()).size(), 1U) << way;
    EXPECT_EQ(locks_on(disk->files()).size(), 1U) << "asking broke lock " << way;
    ASSERT_EQ(::write(done[1], &byte, 1), 1);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_TRUE(locks_on(disk->files()).empty()) << way;
    for (const int end : {ready[0], ready[1], done[0], done[1]}) ::close(end);
  }
}

TEST(Threads, ManyReadOneDiskAtOnce) {
  const TemporaryFolder folder;
  const Bytes model = random_disk(40 * MiB, 5);
  const std::string line = "RW " + std::to_string(model.size() / 512) + " SPARSE \"s.vmdk\"\n";
  write_file(folder / "s.vmdk", stream_optimized(layer_of(model, 65536), descriptor("streamOptimized", line)));
  const auto disk = open_disk(folder / "s.vmdk");
  std::vector<std::thread> threads;
  std::array<bool, 4> right{};
  for (std::size_t t = 0; t < right.size(); ++t)
    threads.emplace_back([&, t] {
      bool equal = true;
      Bytes bytes(100'000);
      for (std::size_t i = 0; i < 150; ++i) {
        const std::size_t at = (i * 7919 * (t + 3) * 512) % (model.size() - bytes.size());
        disk->read(at, bytes);
        equal = equal && std::ranges::equal(bytes, ByteView(model).subspan(at, bytes.size()));
      }
      right[t] = equal;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, (std::array{true, true, true, true}));
}

}  // namespace
}  // namespace vmferry::disk::test
