#include "protocol/external_sort.h"

#include <fcntl.h>

#include <cstdlib>
#include <utility>

namespace vmferry {
namespace {

int open_nameless(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0) return descriptor;
  // NFS, overlayfs and old kernels have no O_TMPFILE, and say so in several ways.
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
    throw system_error(errno, "cannot make a temporary file", directory.string());
  std::string name = (directory / ".vmferry-XXXXXX").string();
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named < 0) throw system_error(errno, "cannot make a temporary file", directory.string());
  ::unlink(name.c_str());
  return named;
}

}  // namespace

TemporaryFile::TemporaryFile(const std::filesystem::path& directory) : descriptor_(open_nameless(directory)) {}

TemporaryFile::~TemporaryFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

TemporaryFile::TemporaryFile(TemporaryFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), size_(std::exchange(other.size_, 0)) {}

TemporaryFile& TemporaryFile::operator=(TemporaryFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

void TemporaryFile::append(const void* data, std::size_t length) {
  const auto* from = static_cast<const std::byte*>(data);
  while (length > 0) {
    const ssize_t wrote = ::pwrite(descriptor_, from, length, static_cast<off_t>(size_));
    if (wrote < 0) {
      if (errno == EINTR) continue;
      throw system_error(errno, "cannot write to a temporary file", "spool");
    }
    from += wrote;
    length -= static_cast<std::size_t>(wrote);
    size_ += static_cast<std::uint64_t>(wrote);
  }
}

void TemporaryFile::read(std::uint64_t offset, void* into, std::size_t length) const {
  auto* to = static_cast<std::byte*>(into);
  while (length > 0) {
    const ssize_t got = ::pread(descriptor_, to, length, static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      throw system_error(errno, "cannot read a temporary file", "spool");
    }
    if (got == 0) throw Error(ErrorCode::failed, "cannot read a temporary file", "spool", "it ends too early");
    to += got;
    length -= static_cast<std::size_t>(got);
    offset += static_cast<std::uint64_t>(got);
  }
}

}  // namespace vmferry
