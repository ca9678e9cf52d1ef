#include "tests/support/sparse_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <unistd.h>

namespace vmferry::test {
namespace {

[[noreturn]] void fail(const std::string& what, const std::filesystem::path& file) {
  throw std::runtime_error(what + " " + file.string() + ": " + std::strerror(errno));
}

class File {
 public:
  File(const std::filesystem::path& path, int flags)
      : path_(path), file_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {
    if (file_ < 0) fail("cannot open", path);
  }
  ~File() { ::close(file_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return file_; }

  void read(std::uint64_t offset, std::span<std::byte> into) const {
    while (!into.empty()) {
      const ssize_t count = pread(file_, into.data(), into.size(), static_cast<off_t>(offset));
      if (count == 0) errno = ENODATA;
      if (count <= 0) fail("cannot read", path_);
      into = into.subspan(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    }
  }
  void write(std::uint64_t offset, ByteView from) const {
    while (!from.empty()) {
      const ssize_t count = pwrite(file_, from.data(), from.size(), static_cast<off_t>(offset));
      if (count <= 0) fail("cannot write", path_);
      from = from.subspan(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    }
  }

 private:
  std::filesystem::path path_;
  int file_;
};

}  // namespace

void create_sparse_file(const std::filesystem::path& file, std::uint64_t bytes) {
  const File created(file, O_RDWR | O_CREAT | O_TRUNC);
  if (ftruncate(created.get(), static_cast<off_t>(bytes)) != 0) fail("cannot size", file);
}

std::vector<ByteRange> data_ranges(const std::filesystem::path& file) {
  const File opened(file, O_RDONLY);
  std::vector<ByteRange> ranges;
  for (off_t at = 0;;) {
    const off_t data = lseek(opened.get(), at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return ranges;
    if (data < 0) fail("cannot seek in", file);
    at = lseek(opened.get(), data, SEEK_HOLE);
    if (at < 0) fail("cannot seek in", file);
    ranges.push_back({static_cast<std::uint64_t>(data), static_cast<std::uint64_t>(at - data)});
  }
}

void copy_data_into(const std::filesystem::path& source, const std::filesystem::path& destination,
                    std::uint64_t offset) {
  const File from(source, O_RDONLY);
  const File into(destination, O_RDWR);
  Bytes buffer(1 << 20);
  for (const ByteRange& range : data_ranges(source)) {
    for (std::uint64_t at = range.offset; at < range.end();) {
      const auto piece = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), range.end() - at));
      from.read(at, piece);
      into.write(offset + at, piece);
      at += piece.size();
    }
  }
}

Bytes read_range(const std::filesystem::path& file, ByteRange range) {
  Bytes content(range.length);
  File(file, O_RDONLY).read(range.offset, content);
  return content;
}

void write_range(const std::filesystem::path& file, std::uint64_t offset, ByteView content) {
  File(file, O_RDWR).write(offset, content);
}

}  // namespace vmferry::test
