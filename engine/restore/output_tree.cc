#include "engine/restore/output_tree.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/error.h"

namespace vmferry::restore {
namespace {

constexpr int temporary_tries = 1000;

timespec to_timespec(std::uint64_t file_time) {
  constexpr std::uint64_t ticks_per_second = 10'000'000;
  constexpr std::int64_t seconds_1601_to_1970 = 11'644'473'600;
  timespec result{};
  result.tv_sec = static_cast<std::int64_t>(file_time / ticks_per_second) - seconds_1601_to_1970;
  result.tv_nsec = static_cast<std::int64_t>(file_time % ticks_per_second) * 100;
  return result;
}

void set_times(int descriptor, const NtfsTimes& times, const std::filesystem::path& path) {
  // A time of zero is one that nobody ever set.
  timespec both[2] = {to_timespec(times.accessed), to_timespec(times.modified)};
  if (times.accessed == 0) both[0] = {0, UTIME_OMIT};
  if (times.modified == 0) both[1] = {0, UTIME_OMIT};
  // A year that the file system cannot hold is no reason to fail; EINVAL says so.
  if (futimens(descriptor, both) != 0 && errno != EINVAL && errno != EOVERFLOW)
    throw system_error(errno, "cannot set the times", path.string());
}

// Renames within a directory; never over something unless force.
void rename_in(int directory, const std::string& from, const std::string& to, bool force,
               const std::filesystem::path& path) {
  if (force) {
    if (renameat(directory, from.c_str(), directory, to.c_str()) == 0) return;
    throw system_error(errno, "cannot give the output its name", path.string());
  }
  if (renameat2(directory, from.c_str(), directory, to.c_str(), RENAME_NOREPLACE) == 0) return;
  if (errno == EINVAL || errno == ENOSYS) {
    // The file system knows no such rename: look first, then rename.
    struct stat facts {};
    if (fstatat(directory, to.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0) {
      errno = EEXIST;
    } else if (renameat(directory, from.c_str(), directory, to.c_str()) == 0) {
      return;
    }
  }
  if (errno == EEXIST) throw Error(ErrorCode::exists, "it is there already", path.string(), "--force overwrites it");
  throw system_error(errno, "cannot give the output its name", path.string());
}

void expect_one_part(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
      name.find('\0') != std::string::npos)
    throw std::logic_error("an output's name is a path");
}

// NAME.partial, or where that is somebody's already, another: "NAME.1.partial".
std::string temporary_name(const std::string& name, int attempt) {
  const std::string stem = name.size() > temporary_stem_max ? name.substr(0, temporary_stem_max) : name;
  return attempt == 0 ? stem + ".partial" : stem + "." + std::to_string(attempt) + ".partial";
}

}  // namespace

OutputDescriptor::~OutputDescriptor() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::string joined_place(const std::string& place, const std::string& name) {
  return place.empty() ? name : place + "/" + name;
}

void OutputFile::write(std::uint64_t offset, ByteView content) {
  while (!content.empty()) {
    const ssize_t count = pwrite(file_->get(), content.data(), content.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw system_error(count < 0 ? errno : ENOSPC, "cannot write the file", path_.string());
    offset += static_cast<std::uint64_t>(count);
    content = content.subspan(static_cast<std::size_t>(count));
  }
}

void OutputFile::set_size(std::uint64_t bytes) {
  if (ftruncate(file_->get(), static_cast<off_t>(bytes)) != 0)
    throw system_error(errno, "cannot set the file's size", path_.string());
}

void OutputFile::set_times(const NtfsTimes& times) { restore::set_times(file_->get(), times, path_); }

void OutputFile::finish() {
  rename_in(directory_->get(), temporary_name_, name_, force_, path_);
  file_.reset();
}

void OutputFile::discard() noexcept {
  unlinkat(directory_->get(), temporary_name_.c_str(), 0);
  file_.reset();
}

OutputTree::OutputTree(const std::filesystem::path& directory) : directory_(directory) {
  const int descriptor = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw system_error(errno, "cannot open the output directory", directory.string());
  root_ = std::make_shared<OutputDescriptor>(descriptor);
  last_opened_ = root_;
}

std::shared_ptr<OutputDescriptor> OutputTree::open_place(const std::string& place) {
  if (place == last_place_) return last_opened_;
  std::shared_ptr<OutputDescriptor> at = root_;
  for (std::size_t begin = 0; begin < place.size();) {
    const std::size_t end = std::min(place.find('/', begin), place.size());
    const std::string part = place.substr(begin, end - begin);
    expect_one_part(part);
    const int descriptor = openat(at->get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0)
      throw system_error(errno, "cannot open the output directory", (directory_ / place.substr(0, end)).string());
    at = std::make_shared<OutputDescriptor>(descriptor);
    begin = end + 1;
  }
  last_place_ = place;
  last_opened_ = at;
  return at;
}

bool OutputTree::exists(const std::string& place, const std::string& name) {
  expect_one_part(name);
  struct stat facts {};
  return fstatat(open_place(place)->get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0;
}

void OutputTree::make_directory(const std::string& place, const std::string& name, bool merge) {
  expect_one_part(name);
  const std::filesystem::path path = directory_ / place / name;
  const std::shared_ptr<OutputDescriptor> at = open_place(place);
  if (mkdirat(at->get(), name.c_str(), 0755) == 0) return;
  if (errno != EEXIST) throw system_error(errno, "cannot make the directory", path.string());
  if (!merge) throw Error(ErrorCode::exists, "it is there already", path.string(), "--force restores into it");
  struct stat facts {};
  if (fstatat(at->get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(facts.st_mode))
    throw Error(ErrorCode::exists, "it is there already, and is no directory", path.string(),
                "remove it, or restore elsewhere");
}

OutputFile OutputTree::create_file(const std::string& place, const std::string& name, bool force, bool read_only) {
  expect_one_part(name);
  OutputFile file;
  file.directory_ = open_place(place);
  file.name_ = name;
  file.path_ = directory_ / place / name;
  file.force_ = force;
  for (int attempt = 0; attempt < temporary_tries; ++attempt) {
    file.temporary_name_ = temporary_name(name, attempt);
    const int descriptor = openat(file.directory_->get(), file.temporary_name_.c_str(),
                                  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, read_only ? 0444 : 0644);
    if (descriptor >= 0) {
      file.file_ = std::make_unique<OutputDescriptor>(descriptor);
      return file;
    }
    if (errno != EEXIST) throw system_error(errno, "cannot make the file", file.path_.string());
  }
  throw Error(ErrorCode::exists, "too many unfinished files are there", file.path_.string(),
              "remove the .partial files");
}

bool OutputTree::link(const std::string& existing_place, const std::string& existing_name, const std::string& place,
                      const std::string& name, bool force) {
  expect_one_part(existing_name);
  expect_one_part(name);
  const std::shared_ptr<OutputDescriptor> from = open_place(existing_place);
  const std::shared_ptr<OutputDescriptor> to = open_place(place);
  for (int attempt = 0; attempt < temporary_tries; ++attempt) {
    const std::string temporary = temporary_name(name, attempt);
    if (linkat(from->get(), existing_name.c_str(), to->get(), temporary.c_str(), 0) != 0) {
      if (errno == EEXIST) continue;
      return false;
    }
    try {
      rename_in(to->get(), temporary, name, force, directory_ / place / name);
    } catch (const Error&) {
      unlinkat(to->get(), temporary.c_str(), 0);
      throw;
    }
    // Where both are links to one file already, a rename does nothing.
    unlinkat(to->get(), temporary.c_str(), 0);
    return true;
  }
  return false;
}

void OutputTree::set_directory_times(const std::string& place, const NtfsTimes& times) {
  restore::set_times(open_place(place)->get(), times, directory_ / place);
}

void OutputTree::rename(const std::string& place, const std::string& from, const std::string& to, bool force) {
  expect_one_part(from);
  expect_one_part(to);
  rename_in(open_place(place)->get(), from, to, force, directory_ / place / to);
  last_place_.clear();
  last_opened_ = root_;
}

}  // namespace vmferry::restore
