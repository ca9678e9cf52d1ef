#include "engine/disk/output_file.h"

#include <fcntl.h>
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

void expect_absent(const std::filesystem::path& path, const char* advice) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0)
    throw Error(ErrorCode::exists, "the output is there already", path.string(), advice);
}

}  // namespace

void OutputFile::expect_free(const std::filesystem::path& final_path, bool overwrite) {
  if (overwrite) return;
  expect_absent(final_path, "choose another name, or overwrite it");
  expect_absent(final_path.string() + ".partial", "an earlier attempt left it; remove it, or overwrite it");
}

OutputFile::OutputFile(std::filesystem::path final_path, bool overwrite)
    : final_path_(std::move(final_path)), partial_path_(final_path_.string() + ".partial"), overwrite_(overwrite) {
  expect_free(final_path_, overwrite_);
  const int how = overwrite_ ? O_TRUNC : O_EXCL;
  descriptor_ = ::open(partial_path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | how, 0600);
  if (descriptor_ < 0) throw system_error(errno, "cannot create an output", partial_path_.string());
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
    at = end < content.size() ? end + block_at(end).size() : end;
  }
}

void OutputFile::resize(std::uint64_t size) {
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0)
    throw system_error(errno, "cannot size an output", partial_path_.string());
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
