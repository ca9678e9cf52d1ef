// What the tests of disks share: a folder of its own per test, a disk as plain bytes in memory, judges that run
// beside us, and what every reader must satisfy.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/disk/disk.h"
#include "protocol/bytes.h"
#include "protocol/error.h"

namespace vmferry::disk::test {

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

void write_file(const std::filesystem::path& path, ByteView content);
void write_file(const std::filesystem::path& path, std::string_view content);
Bytes read_file(const std::filesystem::path& path);
void put(Bytes& bytes, std::size_t offset, std::uint64_t value, unsigned length);  // little-endian

// size bytes, mostly zeros, with runs of random data at random places (some all zero, some one sector long).
Bytes random_disk(std::uint64_t size, std::uint32_t seed);

// Fails the test unless the disk reads as `expected` (in one read, and in pieces of odd sizes), and extent_at covers
// it exactly with holes that are zeros.
void expect_disk(const Disk& disk, ByteView expected);
// The share of `disk` that extent_at calls holes, in bytes.
std::uint64_t hole_bytes(const Disk& disk);

// Runs a program without a shell; fails the test where it is not there. Returns its exit code and its output.
struct Ran {
  int exit_code = -1;
  std::string output;
};
Ran run(const std::vector<std::string>& command);

std::string descriptor(std::string_view create_type, std::string_view extents, std::string_view cid = "12345678",
                       std::string_view parent_cid = "ffffffff", std::string_view more = "");

// The code of the Error that `action` throws, and fails the test where it throws none.
ErrorCode code_of(const std::function<void()>& action);
std::string message_of(const std::function<void()>& action);

}  // namespace vmferry::disk::test
