#include "engine/restore/disk_output.h"

#include <algorithm>

#include "engine/disk/output_file.h"
#include "engine/restore/sector_writer.h"
#include "protocol/byte_range.h"
#include "protocol/limits.h"

namespace vmferry::restore {
namespace {

constexpr std::uint64_t compared_at_once = 1 << 20;

// Without the blocks that it shares with its neighbours.
ByteRange whole_blocks(const ByteRange& range) {
  const std::uint64_t begin = checked_round_up(range.offset, block_bytes, "a disk's range");
  const std::uint64_t end = range.end() - range.end() % block_bytes;
  return {begin, end - std::min(begin, end)};
}

class WrittenDisk final : public DiskOutput {
 public:
  WrittenDisk(disk::PlacedContent& content, std::uint64_t disk_bytes, const DomainKey& key)
      : DiskOutput(key), content_(content) {
    // The last sector's rest, which no map covers.
    zeros({disk_bytes, checked_round_up(disk_bytes, sector_bytes, "a disk's size") - disk_bytes});
  }

  bool read(std::uint64_t offset, std::span<std::byte> into) override { return content_.read_back(offset, into); }
  void write(std::uint64_t offset, ByteView content, bool is_part) override {
    using enum disk::PlacedContent::Zeros;
    content_.place(offset, content, is_part ? written : holes);
  }
  // Zeros, holes and what was left out are not written: they stay holes.
  void zeros(const ByteRange& range) override {
    if (content_.is_resumed() && range.length > 0) content_.clear(range.offset, range.length);
  }

 protected:
  bool is_unwritten(const ByteRange& range) override {
    return !content_.is_resumed() || content_.is_hole(range.offset, range.length);
  }

 private:
  disk::PlacedContent& content_;
};

class ComparedDisk final : public DiskOutput {
 public:
  ComparedDisk(const disk::Disk& disk, std::uint64_t disk_bytes, const DomainKey& key) : DiskOutput(key), disk_(disk) {
    if (disk.size_bytes() != checked_round_up(disk_bytes, sector_bytes, "a disk's size")) throw OtherContent{};
  }

  bool read(std::uint64_t offset, std::span<std::byte> into) override {
    disk_.read(offset, into);
    return true;
  }
  void write(std::uint64_t offset, ByteView content, bool) override {
    there_.resize(content.size());
    disk_.read(offset, there_);
    if (!std::ranges::equal(there_, content)) throw OtherContent{offset};
  }
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

 protected:
  bool is_unwritten(const ByteRange&) override { return false; }

 private:
  const disk::Disk& disk_;
  Bytes there_;
};

}  // namespace

DiskOutput::There DiskOutput::look(const MapEntry& entry) {
  // A chunk is never that long: who fetches it says so.
  if (entry.disk.length > limits::chunk_size_max || is_unwritten(entry.disk)) return There::nothing;
  if (entry.chunk_offset == 0) {
    content_.resize(static_cast<std::size_t>(entry.disk.length));
    if (read(entry.disk.offset, content_) && is_chunk(content_, entry.chunk)) return There::the_chunk;
  }
  // A part would have been written with its zeros, so only its neighbours were.
  const ByteRange inner = whole_blocks(entry.disk);
  return inner.length > 0 && is_unwritten(inner) ? There::nothing : There::something;
}

std::unique_ptr<DiskOutput> write_to(disk::PlacedContent& content, std::uint64_t disk_bytes, const DomainKey& key) {
  return std::make_unique<WrittenDisk>(content, disk_bytes, key);
}

std::unique_ptr<DiskOutput> compare_with(const disk::Disk& disk, std::uint64_t disk_bytes, const DomainKey& key) {
  return std::make_unique<ComparedDisk>(disk, disk_bytes, key);
}

}  // namespace vmferry::restore
