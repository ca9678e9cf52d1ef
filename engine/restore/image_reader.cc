#include "engine/restore/image_reader.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "engine/restore/tree_sweep.h"
#include "protocol/error.h"

namespace vmferry::restore {
namespace {

constexpr std::size_t chunks_per_sweep = 16384;

std::string range_text(ByteRange range) {
  return "bytes " + std::to_string(range.offset) + " to " + std::to_string(range.end()) + " of the disk";
}

Bytes map_key(std::uint64_t offset) {
  ByteWriter key;
  key.u64_big_endian(offset);
  return std::move(key).take();
}

}  // namespace

ImageReader::ImageReader(const PointDisk& disk, ChunkSource& chunks, std::size_t memory_bytes)
    : size_bytes_(disk.size_bytes),
      window_bytes_(memory_bytes / 2),
      root_(disk.image_map),
      nodes_(chunks, memory_bytes / 8),
      chunks_(chunks, memory_bytes - memory_bytes / 8),
      map_(disk.image_map, disk.size_bytes, nodes_) {}

void ImageReader::read(std::uint64_t offset, std::span<std::byte> into, LeftOut left_out) {
  if (!range_fits(offset, into.size(), size_bytes_))
    throw Error(ErrorCode::malformed, "a read past the end of the disk", range_text({offset, into.size()}));
  if (into.empty()) return;
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
  for (; entry && entry->disk.offset < end; entry = map_.next())
    if (entry->kind == MapKind::data && !chunks_.cache().contains(entry->chunk) && !planned_at(entry->disk.offset))
      return false;
  return true;
}

SharedBytes ImageReader::content_of(const MapEntry& entry) {
  try {
    SharedBytes content = chunks_.cache().find(entry.chunk);
    if (!content) {
      const std::optional<std::size_t> position = planned_at(entry.disk.offset);
      if (position && *position >= single_before_) sweep_from(*position, entry.disk.offset);
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

void ImageReader::plan(std::vector<ByteRange> ranges) {
  std::erase_if(ranges, [&](ByteRange range) {
    return range.length == 0 || !range_fits(range.offset, range.length, size_bytes_);
  });
  plan_ = std::move(ranges);
  single_before_ = 0;
  by_offset_.clear();
  for (std::size_t i = 0; i < plan_.size(); ++i) by_offset_.push_back({plan_[i], i});
  std::stable_sort(by_offset_.begin(), by_offset_.end(),
                   [](const Planned& a, const Planned& b) { return a.range.offset < b.range.offset; });
}

void ImageReader::prefetch() {
  if (!plan_.empty()) sweep_from(0, plan_[0].offset);
}

std::optional<std::size_t> ImageReader::planned_at(std::uint64_t offset) const {
  const auto after = std::upper_bound(by_offset_.begin(), by_offset_.end(), offset,
                                      [](std::uint64_t o, const Planned& planned) { return o < planned.range.offset; });
  if (after == by_offset_.begin()) return std::nullopt;
  const Planned& planned = *std::prev(after);
  if (offset - planned.range.offset >= planned.range.length) return std::nullopt;
  return planned.position;
}

// From `offset` in plan_[position] on. Reads of chunks that did not come ask for them again, one by one, so that only
// what needs a damaged chunk fails.
void ImageReader::sweep_from(std::size_t position, std::uint64_t offset) {
  std::vector<KeyRange> keys;
  std::uint64_t bytes = 0;
  std::size_t end = position;
  for (; end < plan_.size() && bytes < window_bytes_; ++end) {
    ByteRange range = plan_[end];
    if (end == position) range = {offset, range.end() - offset};
    range.length = std::min<std::uint64_t>(range.length, window_bytes_ - bytes);
    bytes += range.length;
    keys.push_back({map_key(range.offset), map_key(range.end() - 1)});
  }
  try {
    std::vector<ChunkId> ids;
    std::unordered_set<ChunkId> seen;
    sweep_tree(root_, nodes_, std::move(keys), [&](const TreeEntry& tree_entry) {
      const MapEntry entry = decode_map_entry(tree_entry.key, tree_entry.value);
      if (entry.kind != MapKind::data || ids.size() == chunks_per_sweep || chunks_.cache().contains(entry.chunk))
        return;
      if (seen.insert(entry.chunk).second) ids.push_back(entry.chunk);
    });
    if (!ids.empty()) chunks_.get(ids, [](const ChunkId&, ByteView) {});
  } catch (const Error& error) {
    if (error.code() != ErrorCode::damaged) throw;
    single_before_ = end;
  }
}

std::optional<MapKind> ImageReader::left_out(std::span<const ByteRange> ranges, std::size_t entries_max) {
  for (const ByteRange& range : ranges) {
    if (range.length == 0 || !range_fits(range.offset, range.length, size_bytes_)) continue;
    std::optional<MapEntry> entry = map_.at(range.offset);
    while (entry && entry->disk.offset < range.end()) {
      if (entry->kind == MapKind::free || entry->kind == MapKind::excluded) return entry->kind;
      if (--entries_max == 0) return std::nullopt;
      entry = map_.next();
    }
  }
  return std::nullopt;
}

}  // namespace vmferry::restore
