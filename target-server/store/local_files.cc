#include "target-server/store/local_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>
#include <utility>

#include "protocol/error.h"
#include "protocol/uuid.h"

namespace vmferry::store {
namespace {

constexpr std::string_view temporary_prefix = ".tmp-";

std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  return path.parent_path() / (std::string(temporary_prefix) + Uuid::random().to_string());
}

FileFacts facts_from(const struct stat& status) {
  return {static_cast<std::uint64_t>(status.st_size),
          static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
}

// The rename that never replaces; file systems without RENAME_NOREPLACE get link + unlink.
bool rename_if_absent(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno == EEXIST) return false;
  if (errno != EINVAL && errno != ENOSYS) throw system_error(errno, "cannot move a file into place", to);
  if (::link(from.c_str(), to.c_str()) != 0) {
    if (errno == EEXIST) return false;
    throw system_error(errno, "cannot move a file into place", to);
  }
  ::unlink(from.c_str());
  return true;
}

}  // namespace

Descriptor::~Descriptor() { close(); }
Descriptor::Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    close();
    number_ = std::exchange(other.number_, -1);
  }
  return *this;
}
void Descriptor::close() noexcept {
  if (number_ >= 0) ::close(number_);
  number_ = -1;
}

Descriptor open_file(const std::filesystem::path& path, int flags, mode_t mode) {
  Descriptor file(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!file.is_open()) throw system_error(errno, "cannot open a file of the store", path);
  return file;
}

std::optional<Descriptor> open_if_there(const std::filesystem::path& path, int flags) {
  Descriptor file(::open(path.c_str(), flags | O_CLOEXEC));
  if (file.is_open()) return file;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw system_error(errno, "cannot open a file of the store", path);
}

FileFacts facts_of(const Descriptor& file, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) throw system_error(errno, "cannot look at a file of the store", path);
  return facts_from(status);
}

std::optional<FileFacts> facts_of(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return facts_from(status);
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw system_error(errno, "cannot look at a file of the store", path);
}

std::size_t read_at(const Descriptor& file, std::uint64_t offset, std::span<std::byte> into,
                    const std::filesystem::path& path) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got =
        ::pread(file.number(), into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(errno, "cannot read a file of the store", path);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Bytes read_whole(const std::filesystem::path& path, std::uint64_t bytes_max) {
  const Descriptor file = open_file(path, O_RDONLY);
  const std::uint64_t size = facts_of(file, path).size;
  if (size > bytes_max) throw Error(ErrorCode::malformed, "a file of the store is too long", path);
  Bytes content(static_cast<std::size_t>(size));
  content.resize(read_at(file, 0, content, path));
  return content;
}

void write_at(const Descriptor& file, std::uint64_t offset, std::span<const ByteView> parts,
              const std::filesystem::path& path) {
  std::vector<iovec> vectors;
  for (const ByteView part : parts)
    if (!part.empty()) vectors.push_back({const_cast<std::byte*>(part.data()), part.size()});
  for (std::size_t first = 0; first < vectors.size();) {
    const int count = static_cast<int>(std::min<std::size_t>(vectors.size() - first, IOV_MAX));
    const ssize_t put = ::pwritev(file.number(), &vectors[first], count, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw system_error(errno, "cannot write to the store", path);
    offset += static_cast<std::uint64_t>(put);
    auto left = static_cast<std::size_t>(put);
    while (first < vectors.size() && left >= vectors[first].iov_len) left -= vectors[first++].iov_len;
    if (left != 0) {
      vectors[first].iov_base = static_cast<std::byte*>(vectors[first].iov_base) + left;
      vectors[first].iov_len -= left;
    }
  }
}

void truncate_file(const Descriptor& file, std::uint64_t size, const std::filesystem::path& path) {
  if (::ftruncate(file.number(), static_cast<off_t>(size)) != 0)
    throw system_error(errno, "cannot cut a file of the store", path);
}

void sync_file(const Descriptor& file, const std::filesystem::path& path) {
  if (::fdatasync(file.number()) != 0) throw system_error(errno, "cannot make a file of the store durable", path);
}

void sync_directory(const std::filesystem::path& path) {
  const Descriptor directory = open_file(path, O_RDONLY | O_DIRECTORY);
  // Some file systems cannot sync a directory, and say so: there is nothing more to do on them.
  if (::fsync(directory.number()) != 0 && errno != EINVAL && errno != ENOTSUP)
    throw system_error(errno, "cannot make a directory of the store durable", path);
}

void make_directory(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), 0700) == 0) {
    sync_directory(path.has_parent_path() ? path.parent_path() : ".");
    return;
  }
  if (errno == EEXIST) return;
  if (errno != ENOENT || !path.has_parent_path() || path.parent_path() == path)
    throw system_error(errno, "cannot make a directory", path);
  make_directory(path.parent_path());
  make_directory(path);
}

bool write_durably(const std::filesystem::path& path, ByteView content, Existing existing) {
  const std::filesystem::path temporary = temporary_beside(path);
  try {
    {
      const Descriptor file = open_file(temporary, O_WRONLY | O_CREAT | O_EXCL);
      write_at(file, 0, std::span(&content, 1), path);
      sync_file(file, path);
    }
    if (existing == Existing::replace) {
      if (::rename(temporary.c_str(), path.c_str()) != 0)
        throw system_error(errno, "cannot move a file into place", path);
    } else if (!rename_if_absent(temporary, path)) {
      ::unlink(temporary.c_str());
      return false;
    }
    sync_directory(path.parent_path());
    return true;
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

bool move_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (!rename_if_absent(from, to)) return false;
  sync_directory(to.parent_path());
  sync_directory(from.parent_path());
  return true;
}

bool remove_durably(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0) {
    if (errno == ENOENT) return false;
    throw system_error(errno, "cannot delete a file of the store", path);
  }
  sync_directory(path.parent_path());
  return true;
}

void copy_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  const Descriptor source = open_file(from, O_RDONLY);
  const std::filesystem::path temporary = temporary_beside(to);
  try {
    const Descriptor copy = open_file(temporary, O_WRONLY | O_CREAT | O_EXCL);
    Bytes buffer(1u << 20);
    for (std::uint64_t at = 0;;) {
      const std::size_t got = read_at(source, at, buffer, from);
      if (got == 0) break;
      const ByteView part(buffer.data(), got);
      write_at(copy, at, std::span(&part, 1), to);
      at += got;
    }
    sync_file(copy, to);
    if (::rename(temporary.c_str(), to.c_str()) != 0) throw system_error(errno, "cannot move a file into place", to);
    sync_directory(to.parent_path());
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

std::vector<std::string> names_in(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  const auto close_directory = [](DIR* open) { ::closedir(open); };
  const std::unique_ptr<DIR, decltype(close_directory)> stream(::opendir(directory.c_str()), close_directory);
  if (!stream) {
    if (errno == ENOENT || errno == ENOTDIR) return names;
    throw system_error(errno, "cannot list a directory of the store", directory);
  }
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) {
      if (errno != 0) throw system_error(errno, "cannot list a directory of the store", directory);
      return names;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != ".." && !name.starts_with(temporary_prefix)) names.emplace_back(name);
  }
}

}  // namespace vmferry::store
