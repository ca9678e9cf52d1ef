#include "tests/unit/crack/cracked.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

namespace vmferry::crack {

const NameEntry* Cracked::find(std::string_view path) const {
  std::uint64_t directory = root_directory_record;
  const NameEntry* found = nullptr;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    const std::u16string wanted(part.begin(), part.end());
    found = nullptr;
    for (const NameEntry& name : names) {
      if (mft_record_number(name.parent) == directory && name.name == wanted) found = &name;
    }
    if (found == nullptr) return nullptr;
    directory = mft_record_number(found->record);
  }
  return found;
}

const StreamEvent* Cracked::stream_of(MftReference record, std::u16string_view name, std::uint32_t type) const {
  for (const StreamEvent& event : streams) {
    if (event.record == record && event.stream.name == name && event.stream.attribute_type == type) return &event;
  }
  return nullptr;
}

VolumeFile::VolumeFile(const std::filesystem::path& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (fd_ < 0) throw std::runtime_error("cannot open " + path.string());
}

VolumeFile::~VolumeFile() { ::close(fd_); }

VolumeBytes VolumeFile::bytes() {
  const off_t size = ::lseek(fd_, 0, SEEK_END);
  return {static_cast<std::uint64_t>(size), [this](std::uint64_t offset, std::span<std::byte> into) {
            ++reads;
            bytes_read += into.size();
            if (::pread(fd_, into.data(), into.size(), static_cast<off_t>(offset)) != static_cast<ssize_t>(into.size())) {
              throw std::runtime_error("short read");
            }
          }};
}

Cracked crack_file(const std::filesystem::path& path, const SandboxLimits& limits) {
  VolumeFile volume(path);
  Cracked cracked;
  crack_volume(volume.bytes(), limits, cracked);
  return cracked;
}

Bytes read_whole(VolumeFiles& files, MftReference record, std::uint64_t size) {
  Bytes content(static_cast<std::size_t>(size));
  files.read(record, [&](std::uint64_t offset, std::span<const std::byte> bytes) {
    if (offset > content.size() || bytes.size() > content.size() - offset) throw std::runtime_error("bytes past the end");
    std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<std::ptrdiff_t>(offset));
  });
  return content;
}

Bytes read_at(const std::filesystem::path& path, std::uint64_t offset, std::size_t length) {
  Bytes content(length);
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  if (!file.read(reinterpret_cast<char*>(content.data()), static_cast<std::streamsize>(length))) {
    throw std::runtime_error("cannot read " + path.string());
  }
  return content;
}

void write_at(const std::filesystem::path& path, std::uint64_t offset, ByteView content) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  if (!file.write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size())).flush()) {
    throw std::runtime_error("cannot write " + path.string());
  }
}

}  // namespace vmferry::crack
