// What the tests of the cracker share: a volume in a file, its events gathered, and questions to them.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/crack/cracker.h"
#include "tests/support/ntfs_image.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::crack {

struct Cracked final : VolumeSink {
  std::optional<VolumeFacts> facts;
  std::vector<StreamEvent> streams;
  std::vector<NameEntry> names;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> kept_ranges, allocated_ranges;
  std::optional<VolumeTotals> totals;

  void volume(const VolumeFacts& f) override { facts = f; }
  void stream(const StreamEvent& event) override { streams.push_back(event); }
  void file(const NameEntry& name) override { names.push_back(name); }
  void kept(std::uint64_t lcn, std::uint64_t clusters) override { kept_ranges.emplace_back(lcn, clusters); }
  void allocated(std::uint64_t lcn, std::uint64_t clusters) override { allocated_ranges.emplace_back(lcn, clusters); }
  void done(const VolumeTotals& t) override { totals = t; }

  // "a/b/c" from the root, exact names; nullptr where there is none.
  const NameEntry* find(std::string_view path) const;
  const StreamEvent* stream_of(MftReference record, std::u16string_view name = {}, std::uint32_t type = 0x80) const;
};

// A volume in a file that counts what is read of it.
class VolumeFile {
 public:
  explicit VolumeFile(const std::filesystem::path& path);
  ~VolumeFile();
  VolumeFile(const VolumeFile&) = delete;
  VolumeFile& operator=(const VolumeFile&) = delete;
  VolumeBytes bytes();
  std::uint64_t reads = 0, bytes_read = 0;

 private:
  int fd_;
};

Cracked crack_file(const std::filesystem::path& path, const SandboxLimits& limits = {});
Bytes read_whole(VolumeFiles& files, MftReference record, std::uint64_t size);
// Bytes of an image, from outside any file system.
Bytes read_at(const std::filesystem::path& path, std::uint64_t offset, std::size_t length);
void write_at(const std::filesystem::path& path, std::uint64_t offset, ByteView content);

}  // namespace vmferry::crack
