#include "engine/disk/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "protocol/error.h"

namespace vmferry::disk {
namespace {

// What file systems allocate by.
constexpr std::size_t block_bytes = 4096;
constexpr std::size_t clear_bytes = 1 << 20;  // looked at, and made a hole, in one go

void expect_absent(const std::filesystem::path& path, const char* advice) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0)
    throw Error(ErrorCode::exists, "the output is there already", path.string(), advice);
}

}  // namespace

void OutputFile::expect_free(const std::filesystem::path& final_path, const Existing& existing) {
  if (existing.overwrite) return;
  expect_absent(final_path, "choose another name, or overwrite it");
  if (!existing.resume)
    expect_absent(partial_path_of(final_path),
                  "an earlier attempt left it; go on with it (--resume), overwrite it (--force), or remove it");
}

std::filesystem::path OutputFile::partial_path_of(const std::filesystem::path& final_path) {
  return final_path.string() + ".partial";
}

OutputFile::OutputFile(std::filesystem::path final_path, const Existing& existing)
    : final_path_(std::move(final_path)), partial_path_(partial_path_of(final_path_)), overwrite_(existing.overwrite) {
  expect_free(final_path_, existing);
  const int how = existing.overwrite || existing.resume ? 0 : O_EXCL;
  descriptor_ = ::open(partial_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | how, 0600);
  if (descriptor_ < 0) throw system_error(errno, "cannot create an output", partial_path_.string());
  try {
    take_over();
    if (!existing.resume) resize(0);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

void OutputFile::take_over() {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode))
    throw Error(ErrorCode::exists, "the output is there already, and is no file", partial_path_.string());
  // Not every file system has locks.
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    throw Error(ErrorCode::busy, "another process is writing the output", partial_path_.string(),
                "wait until it is done, or stop it");
  is_resumed_ = status.st_size > 0;
}

OutputFile::~OutputFile() { ::close(descriptor_); }

void OutputFile::write(std::uint64_t offset, ByteView content) {
  while (!content.empty()) {
    const ssize_t put = ::pwrite(descriptor_, content.data(), content.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw system_error(errno, "cannot write an output", partial_path_.string());
    content = content.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
}

void OutputFile::write_data(std::uint64_t offset, ByteView content) {
  std::size_t at = 0;
  const auto block_at = [&](std::size_t begin) {
    const std::size_t length = block_bytes - static_cast<std::size_t>((offset + begin) % block_bytes);
    return content.subspan(begin, std::min(length, content.size() - begin));
  };
  while (at < content.size()) {
    std::size_t end = at;
    while (end < content.size() && !is_zeros(block_at(end))) end += block_at(end).size();
    if (end > at) write(offset + at, content.subspan(at, end - at));
    const std::size_t hole = end;
    while (end < content.size() && is_zeros(block_at(end))) end += block_at(end).size();
    if (is_resumed_ && end > hole) clear(offset + hole, end - hole);  // else it is a hole already
    at = end;
  }
}

bool OutputFile::is_hole(std::uint64_t offset, std::uint64_t length) const {
  const off_t data = ::lseek(descriptor_, static_cast<off_t>(offset), SEEK_DATA);
  return data < 0 ? errno == ENXIO : static_cast<std::uint64_t>(data) >= offset + length;
}

bool OutputFile::read_back(std::uint64_t offset, std::span<std::byte> into) const {
  while (!into.empty()) {
    const ssize_t got = ::pread(descriptor_, into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    offset += static_cast<std::uint64_t>(got);
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

void OutputFile::clear(std::uint64_t offset, std::uint64_t length) {
  Bytes piece;
  const std::uint64_t end = offset + length;
  while (offset < end) {
    const off_t data = ::lseek(descriptor_, static_cast<off_t>(offset), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return;
    if (data >= 0) offset = std::max(offset, static_cast<std::uint64_t>(data));
    if (offset >= end) return;
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(clear_bytes, end - offset)));
    if (!read_back(offset, piece) || !is_zeros(piece)) make_hole(offset, piece.size());
    offset += piece.size();
  }
}

void OutputFile::make_hole(std::uint64_t offset, std::uint64_t length) {
  if (::fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(length)) == 0)
    return;
  write(offset, Bytes(static_cast<std::size_t>(length)));
}

void OutputFile::resize(std::uint64_t size) {
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0)
    throw system_error(errno, "cannot size an output", partial_path_.string());
  if (size == 0) is_resumed_ = false;
}

void OutputFile::sync() {
  if (::fsync(descriptor_) != 0) throw system_error(errno, "cannot make an output durable", partial_path_.string());
}

void OutputFile::publish() {
  const unsigned flags = overwrite_ ? 0 : RENAME_NOREPLACE;
  if (::renameat2(AT_FDCWD, partial_path_.c_str(), AT_FDCWD, final_path_.c_str(), flags) == 0) return;
  if (errno == EINVAL && !overwrite_) {  // NFS does not know RENAME_NOREPLACE
    expect_absent(final_path_, "it came while this one was written");
    if (::rename(partial_path_.c_str(), final_path_.c_str()) == 0) return;
  }
  throw system_error(errno, "cannot name an output", final_path_.string());
}

bool is_zeros(ByteView bytes) noexcept {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

void sync_folder(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder.empty() ? "." : folder;
  const int number = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (number < 0) throw system_error(errno, "cannot make an output durable", path.string());
  const int failed = ::fsync(number) == 0 ? 0 : errno;
  ::close(number);
  // Some network file systems cannot sync a directory, and need not.
  if (failed != 0 && failed != EINVAL) throw system_error(failed, "cannot make an output durable", path.string());
}

}  // namespace vmferry::disk
