#include "engine/restore/image_reader.h"

#include <algorithm>
#include <cstring>

#include "protocol/error.h"

namespace vmferry::restore {
namespace {

std::string range_text(ByteRange range) {
  return "bytes " + std::to_string(range.offset) + " to " + std::to_string(range.end()) + " of the disk";
}

}  // namespace

ImageReader::ImageReader(const PointDisk& disk, target::TargetSession& session, std::size_t memory_bytes)
    : size_bytes_(disk.size_bytes),
      nodes_(session.chunks(), memory_bytes / 4),
      chunks_(session.chunks(), memory_bytes - memory_bytes / 4),
      map_(disk.image_map, disk.size_bytes, nodes_),
      readahead_(disk.image_map, session, nodes_, chunks_, memory_bytes / 3) {}

void ImageReader::read(std::uint64_t offset, std::span<std::byte> into, LeftOut left_out) {
  if (!range_fits(offset, into.size(), size_bytes_))
    throw Error(ErrorCode::malformed, "a read past the end of the disk", range_text({offset, into.size()}));
  if (into.empty()) return;
  readahead_.await(offset);  // the map's nodes too
  std::optional<MapEntry> entry = map_.at(offset);
  while (true) {
    if (!entry) throw Error(ErrorCode::malformed, "the image map ends before the disk", range_text({offset, 1}));
    if (left_out == LeftOut::refused && entry->kind == MapKind::excluded)
      throw Error(ErrorCode::unsupported, "it was left out of the backup", range_text(entry->disk));
    if (left_out == LeftOut::refused && entry->kind == MapKind::free)
      throw Error(ErrorCode::damaged, "the image map calls a file's clusters free", range_text(entry->disk));
    const std::size_t length = static_cast<std::size_t>(std::min<std::uint64_t>(entry->disk.length, into.size()));
    if (entry->kind == MapKind::data) {
      const SharedBytes content = content_of(*entry);
      std::memcpy(into.data(), content->data() + entry->chunk_offset, length);
    } else {
      std::memset(into.data(), 0, length);
    }
    into = into.subspan(length);
    if (into.empty()) return;
    entry = map_.next();
  }
}

bool ImageReader::read_ahead(std::uint64_t offset, std::span<std::byte> into, LeftOut left_out) {
  try {
    if (!range_fits(offset, into.size(), size_bytes_) || !is_near(offset, into.size())) return false;
    read(offset, into, left_out);
    return true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::damaged || error.code() == ErrorCode::unsupported) return false;
    throw;
  }
}

bool ImageReader::is_near(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = offset + length;
  std::optional<MapEntry> entry = map_.at(offset);
  while (entry && entry->disk.offset < end) {
    if (entry->kind == MapKind::data && !chunks_.contains(entry->chunk) && !readahead_.is_planned(entry->disk.offset))
      return false;
    if (entry->disk.end() >= end) break;  // what follows may lie in a node that nobody planned
    entry = map_.next();
  }
  return true;
}

SharedBytes ImageReader::content_of(const MapEntry& entry) {
  try {
    SharedBytes content = chunks_.find(entry.chunk);
    if (!content) {
      readahead_.await(entry.disk.offset);
      content = chunks_.get_shared(entry.chunk);
    }
    if (!range_fits(entry.chunk_offset, entry.disk.length, content->size()))
      throw Error(ErrorCode::damaged, "the image map names more of a chunk than it has", entry.chunk.to_string());
    return content;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::damaged) throw;
    throw Error(ErrorCode::damaged, "the store is damaged", range_text(entry.disk), error.what());
  }
}

std::uint64_t ImageReader::plan(std::vector<ByteRange> ranges) {
  std::erase_if(ranges, [&](ByteRange range) { return !range_fits(range.offset, range.length, size_bytes_); });
  return readahead_.plan(ranges);
}

std::optional<MapKind> ImageReader::left_out(std::span<const ByteRange> ranges, std::size_t entries_max) {
  if (!ranges.empty()) readahead_.await(ranges.front().offset);
  for (const ByteRange& range : ranges) {
    if (range.length == 0 || !range_fits(range.offset, range.length, size_bytes_)) continue;
    std::optional<MapEntry> entry = map_.at(range.offset);
    while (entry && entry->disk.offset < range.end()) {
      if (entry->kind == MapKind::free || entry->kind == MapKind::excluded) return entry->kind;
      if (--entries_max == 0) return std::nullopt;
      if (entry->disk.end() >= range.end()) break;  // what follows may lie in a node that nobody planned
      entry = map_.next();
    }
  }
  return std::nullopt;
}

}  // namespace vmferry::restore
