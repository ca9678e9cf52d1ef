#include "tests/unit/disk/disk_model.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>

extern char** environ;

namespace vmferry::disk::test {

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "vmferry-disk-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw system_error(errno, "cannot make a folder", name);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_file(const std::filesystem::path& path, ByteView content) { write_file(path, as_text(content)); }

void write_file(const std::filesystem::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  ASSERT_TRUE(file.flush().good()) << path;
}

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  Bytes out(static_cast<std::size_t>(std::filesystem::file_size(path)));
  file.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()));
  return out;
}

void put(Bytes& bytes, std::size_t offset, std::uint64_t value, unsigned length) {
  if (bytes.size() < offset + length) bytes.resize(offset + length);
  for (unsigned i = 0; i < length; ++i) bytes[offset + i] = static_cast<std::byte>((value >> (8 * i)) & 0xff);
}

Bytes random_disk(std::uint64_t size, std::uint32_t seed) {
  std::mt19937 random(seed);
  Bytes disk(static_cast<std::size_t>(size));
  const std::uint64_t sectors = size / 512;
  for (int run = 0; run < 24; ++run) {
    const std::uint64_t begin = random() % sectors;
    const std::uint64_t longest = run % 3 == 0 ? 1 : 1 + random() % 400;
    const std::uint64_t length = std::min(sectors - begin, longest);
    const bool zeros = run % 5 == 4;
    for (std::uint64_t i = begin * 512; i < (begin + length) * 512; ++i)
      disk[i] = zeros ? std::byte{0} : static_cast<std::byte>(i % 3 == 0 ? random() : i / 512);
  }
  return disk;
}

void expect_disk(const Disk& disk, ByteView expected) {
  ASSERT_EQ(disk.size_bytes(), expected.size());
  Bytes whole(expected.size());
  disk.read(0, whole);
  const auto differs = std::ranges::mismatch(whole, expected).in1;
  ASSERT_EQ(differs, whole.end()) << "differs at byte " << differs - whole.begin();

  std::mt19937 random(7);
  Bytes piece;
  for (int i = 0; i < 300; ++i) {
    const std::size_t offset = random() % expected.size();
    const std::size_t longest = i % 2 == 0 ? 600 : 300'000;
    piece.resize(std::min<std::size_t>(expected.size() - offset, random() % longest));
    disk.read(offset, piece);
    ASSERT_TRUE(std::ranges::equal(piece, expected.subspan(offset, piece.size()))) << offset << " " << piece.size();
  }

  std::uint64_t at = 0;
  while (at < expected.size()) {
    const DiskExtent extent = disk.extent_at(at);
    ASSERT_EQ(extent.range.offset, at);
    ASSERT_GT(extent.range.length, 0U);
    ASSERT_LE(extent.range.length, expected.size() - at);
    if (extent.hole) {
      const ByteView bytes = expected.subspan(at, extent.range.length);
      ASSERT_TRUE(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; })) << "hole at " << at;
    }
    at = extent.range.end();
  }
  EXPECT_THROW(disk.extent_at(expected.size()), Error);
  Bytes past(512);
  EXPECT_THROW(disk.read(expected.size() - 511, past), Error);
  EXPECT_THROW(disk.read(~std::uint64_t{0} - 3, past), Error);
}

std::uint64_t hole_bytes(const Disk& disk) {
  std::uint64_t holes = 0;
  for (std::uint64_t at = 0; at < disk.size_bytes();) {
    const DiskExtent extent = disk.extent_at(at);
    if (extent.hole) holes += extent.range.length;
    at = extent.range.end();
  }
  return holes;
}

Ran run(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
  pid_t child = -1;
  const int failed = ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  EXPECT_EQ(failed, 0) << command[0];
  Ran ran;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    ran.output.append(buffer, static_cast<std::size_t>(got));
  ::close(ends[0]);
  int status = 0;
  if (failed == 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status)) ran.exit_code = WEXITSTATUS(status);
  return ran;
}

std::string descriptor(std::string_view create_type, std::string_view extents, std::string_view cid,
                       std::string_view parent_cid, std::string_view more) {
  std::string text = "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=";
  text.append(cid).append("\nparentCID=").append(parent_cid).append("\ncreateType=\"").append(create_type);
  text.append("\"\n").append(more).append("\n\n# Extent description\n").append(extents);
  text.append("\n\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"19\"\nddb.adapterType = \"lsilogic\"\n");
  return text;
}

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::failed;
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace vmferry::disk::test
