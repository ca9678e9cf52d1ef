#include "engine/disk/source_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::disk {

class FileDescriptor {
 public:
  explicit FileDescriptor(int number) noexcept : number_(number) {}
  ~FileDescriptor() { ::close(number_); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int number() const noexcept { return number_; }

 private:
  int number_;
};

namespace {

std::int64_t nanoseconds(const timespec& time) noexcept {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

struct stat stat_of(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw system_error(errno, "cannot open a disk's file", path.string());
  return status;
}

std::uint64_t device_size(const std::filesystem::path& path) {
  const FileDescriptor device(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::uint64_t size = 0;
  if (device.number() < 0 || ::ioctl(device.number(), BLKGETSIZE64, &size) != 0)
    throw system_error(errno, "cannot open a block device", path.string());
  return size;
}

DiskFile facts_from(const std::filesystem::path& path, const struct stat& status) {
  DiskFile facts;
  facts.path = path;
  facts.size = S_ISBLK(status.st_mode) ? device_size(path) : static_cast<std::uint64_t>(status.st_size);
  facts.modified_ns = nanoseconds(status.st_mtim);
  facts.changed_ns = nanoseconds(status.st_ctim);
  facts.inode = status.st_ino;
  facts.device = status.st_dev;
  return facts;
}

void expect_kind(const std::filesystem::path& path, mode_t mode, SourceFile::Allow allow) {
  if (S_ISREG(mode) || (S_ISBLK(mode) && allow == SourceFile::Allow::block_device_too)) return;
  if (S_ISDIR(mode)) throw Error(ErrorCode::usage, "cannot open a disk", path.string(), "it is a directory");
  throw Error(ErrorCode::unsupported, "cannot open a disk's file", path.string(), "it is not a regular file");
}

}  // namespace

DiskFile file_facts(const std::filesystem::path& path) { return facts_from(path, stat_of(path)); }

SourceFile::SourceFile(std::filesystem::path path, std::shared_ptr<OpenFiles> open_files, Allow allow)
    : allow_(allow), open_files_(std::move(open_files)) {
  // Looked at before it is opened: opening a FIFO or a tape has effects.
  const struct stat status = stat_of(path);
  expect_kind(path, status.st_mode, allow_);
  facts_ = facts_from(path, status);
}

SourceFile::~SourceFile() { open_files_->forget(*this); }

std::shared_ptr<const FileDescriptor> OpenFiles::descriptor_of(const SourceFile& file) {
  const std::scoped_lock lock(mutex_);
  const auto found = std::ranges::find(by_use_, &file, &Entry::file);
  if (found != by_use_.end()) {
    by_use_.splice(by_use_.begin(), by_use_, found);
    return by_use_.front().descriptor;
  }
  const int number = ::open(file.path().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (number < 0) throw system_error(errno, "cannot open a disk's file", file.path().string());
  auto descriptor = std::make_shared<const FileDescriptor>(number);
  struct stat status {};
  if (::fstat(number, &status) != 0) throw system_error(errno, "cannot open a disk's file", file.path().string());
  expect_kind(file.path(), status.st_mode, file.allow_);
  if (status.st_ino != file.facts().inode || status.st_dev != file.facts().device)
    throw Error(ErrorCode::failed, "a disk's file was replaced by another", file.path().string(),
                "the machine seems to be in use; take a snapshot and start again");
  if (by_use_.size() >= open_files_max_) by_use_.pop_back();
  by_use_.push_front({&file, descriptor});
  return descriptor;
}

void OpenFiles::forget(const SourceFile& file) noexcept {
  const std::scoped_lock lock(mutex_);
  by_use_.remove_if([&](const Entry& entry) { return entry.file == &file; });
}

void SourceFile::read(std::uint64_t offset, std::span<std::byte> into) const {
  if (!range_fits(offset, into.size(), facts_.size))
    throw Error(ErrorCode::malformed, "a disk's file is too short", path().string(), "it seems to be truncated");
  const auto descriptor = open_files_->descriptor_of(*this);
  while (!into.empty()) {
    const ssize_t got = ::pread(descriptor->number(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(errno, "cannot read a disk's file", path().string());
    if (got == 0)
      throw Error(ErrorCode::malformed, "a disk's file became shorter while it was read", path().string());
    into = into.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

SourceFile::Stretch SourceFile::stretch_at(std::uint64_t offset) const {
  const Stretch unknown{.hole = false, .end = facts_.size};
  if (offset >= facts_.size) return unknown;
  const auto descriptor = open_files_->descriptor_of(*this);
  const auto at = static_cast<off_t>(offset);
  const off_t data = ::lseek(descriptor->number(), at, SEEK_DATA);
  if (data < 0) return {.hole = errno == ENXIO, .end = facts_.size};  // ENXIO: no data from here to the end
  if (data > at) return {.hole = true, .end = std::min(static_cast<std::uint64_t>(data), facts_.size)};
  const off_t hole = ::lseek(descriptor->number(), at, SEEK_HOLE);
  if (hole <= at) return unknown;
  return {.hole = false, .end = std::min(static_cast<std::uint64_t>(hole), facts_.size)};
}

}  // namespace vmferry::disk
