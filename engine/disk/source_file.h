// SourceFile: one file that a disk is read from, opened only when it is read, and its state at first sight.
// OpenFiles keeps at most so many of them open: a split disk of 3 TiB has 1538. Both are thread-safe.
// Only regular files (a descriptor must not make us read a device or wait on a FIFO); a block device only
// where the user named it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "engine/disk/disk.h"

namespace vmferry::disk {

class FileDescriptor;
class SourceFile;

// The state of the file at `path` now. Throws Error{not_found, permission, ...}.
DiskFile file_facts(const std::filesystem::path& path);

class OpenFiles {
 public:
  explicit OpenFiles(std::size_t open_files_max = 16) : open_files_max_(open_files_max) {}

 private:
  friend class SourceFile;
  std::shared_ptr<const FileDescriptor> descriptor_of(const SourceFile& file);
  void forget(const SourceFile& file) noexcept;

  struct Entry {
    const SourceFile* file;
    std::shared_ptr<const FileDescriptor> descriptor;
  };
  const std::size_t open_files_max_;
  std::mutex mutex_;
  std::list<Entry> by_use_;  // the last used first; short, so it is searched
};

class SourceFile {
 public:
  enum class Allow { regular_file, block_device_too };

  SourceFile(std::filesystem::path path, std::shared_ptr<OpenFiles> open_files, Allow allow = Allow::regular_file);
  ~SourceFile();
  SourceFile(const SourceFile&) = delete;
  SourceFile& operator=(const SourceFile&) = delete;

  const DiskFile& facts() const noexcept { return facts_; }
  const std::filesystem::path& path() const noexcept { return facts_.path; }
  std::uint64_t size_bytes() const noexcept { return facts_.size; }

  // Throws Error{malformed} where the file ends before, Error{failed} on an I/O error or where another file
  // has taken the name.
  void read(std::uint64_t offset, std::span<std::byte> into) const;
  // Where the host says that [offset, end of file) begins with a hole or with data, and how far that goes.
  // A file system that does not know says data.
  struct Stretch {
    bool hole = false;
    std::uint64_t end = 0;
  };
  Stretch stretch_at(std::uint64_t offset) const;

 private:
  friend class OpenFiles;
  DiskFile facts_;
  Allow allow_;
  std::shared_ptr<OpenFiles> open_files_;
};

}  // namespace vmferry::disk
