#include "engine/restore/disk_output.h"

#include <algorithm>

#include "engine/disk/output_file.h"
#include "protocol/byte_range.h"
#include "protocol/limits.h"

namespace vmferry::restore {
namespace {

constexpr std::uint64_t sector_bytes = 512;
constexpr std::uint64_t compared_at_once = 1 << 20;

class WrittenDisk final : public DiskOutput {
 public:
  WrittenDisk(disk::DiskWriter& writer, std::uint64_t disk_bytes, const DomainKey& key)
      : DiskOutput(key),
        writer_(writer),
        disk_bytes_(disk_bytes),
        sectors_(writer, checked_round_up(disk_bytes, sector_bytes, "a disk's size")) {}

  void write(std::uint64_t offset, ByteView content) override { sectors_.write(offset, content); }
  void keep(const ByteRange& range) override { sectors_.skip(range); }
  // Zeros, holes and what was left out are not written: they stay holes. What shares a sector with data, the sector
  // writer fills.
  void zeros(const ByteRange& range) override {
    if (!writer_.is_resumed()) return;
    const std::uint64_t begin = checked_round_up(range.offset, sector_bytes, "a disk's range");
    const std::uint64_t end = range.end() == disk_bytes_
                                  ? checked_round_up(range.end(), sector_bytes, "a disk's range")
                                  : range.end() - range.end() % sector_bytes;
    if (begin < end) writer_.clear(begin, end - begin);
  }
  void flush() override { sectors_.flush(); }

 protected:
  bool read(std::uint64_t offset, std::span<std::byte> into) override { return writer_.read_back(offset, into); }
  bool has_nothing(const ByteRange& range) override {
    return !writer_.is_resumed() || writer_.is_hole(range.offset, range.length);
  }

 private:
  disk::DiskWriter& writer_;
  const std::uint64_t disk_bytes_;
  SectorWriter sectors_;
};

class ComparedDisk final : public DiskOutput {
 public:
  ComparedDisk(const disk::Disk& disk, std::uint64_t disk_bytes, const DomainKey& key) : DiskOutput(key), disk_(disk) {
    if (disk.size_bytes() != checked_round_up(disk_bytes, sector_bytes, "a disk's size")) throw OtherContent{};
  }

  void write(std::uint64_t offset, ByteView content) override {
    there_.resize(content.size());
    disk_.read(offset, there_);
    if (!std::ranges::equal(there_, content)) throw OtherContent{offset};
  }
  void keep(const ByteRange&) override {}
  void zeros(const ByteRange& range) override {
    for (std::uint64_t at = range.offset; at < range.end();) {
      const disk::DiskExtent extent = disk_.extent_at(at);
      std::uint64_t end = std::min(extent.range.end(), range.end());
      if (!extent.hole) {
        end = std::min(end, at + compared_at_once);
        there_.resize(static_cast<std::size_t>(end - at));
        disk_.read(at, there_);
        if (!disk::is_zeros(there_)) throw OtherContent{at};
      }
      at = end;
    }
  }
  void flush() override {}

 protected:
  bool read(std::uint64_t offset, std::span<std::byte> into) override {
    disk_.read(offset, into);
    return true;
  }
  bool has_nothing(const ByteRange&) override { return false; }

 private:
  const disk::Disk& disk_;
  Bytes there_;
};

}  // namespace

bool DiskOutput::has(const MapEntry& entry) {
  if (entry.kind != MapKind::data || entry.chunk_offset != 0 || entry.disk.length > limits::chunk_size_max ||
      has_nothing(entry.disk))
    return false;
  content_.resize(static_cast<std::size_t>(entry.disk.length));
  return read(entry.disk.offset, content_) && chunk_id_of(key_, content_) == entry.chunk;
}

std::unique_ptr<DiskOutput> write_to(disk::DiskWriter& writer, std::uint64_t disk_bytes, const DomainKey& key) {
  return std::make_unique<WrittenDisk>(writer, disk_bytes, key);
}

std::unique_ptr<DiskOutput> compare_with(const disk::Disk& disk, std::uint64_t disk_bytes, const DomainKey& key) {
  return std::make_unique<ComparedDisk>(disk, disk_bytes, key);
}

}  // namespace vmferry::restore
