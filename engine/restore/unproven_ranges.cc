#include "engine/restore/unproven_ranges.h"

#include <algorithm>
#include <optional>

#include "protocol/limits.h"

namespace vmferry::restore {
namespace {

// Of one chunk, looked at together. Where a chunk has more places than this, the others are compared with what these gave.
constexpr std::size_t parts_max = 4096;

}  // namespace

void UnprovenRanges::settle(DiskOutput& output, const Use& right, const Use& wrong) {
  std::vector<MapEntry> parts;
  std::optional<ChunkId> had;  // content_ is this chunk's
  by_chunk_.rewind();
  for (std::optional<MapEntry> next = by_chunk_.next(); next;) {
    parts.clear();
    do {
      parts.push_back(*next);
      next = by_chunk_.next();
    } while (next && next->chunk == parts.front().chunk && parts.size() < parts_max);
    const ChunkId& id = parts.front().chunk;
    if (had != id) had = assemble(output, parts) ? std::optional(id) : std::nullopt;
    for (const MapEntry& part : parts) (had && is_right(output, part) ? right : wrong)(part);
  }
}

// The chunk's bytes, each from the first part that has it; false where that is not the chunk.
bool UnprovenRanges::assemble(DiskOutput& output, const std::vector<MapEntry>& parts) {
  content_.clear();
  for (const MapEntry& part : parts) {
    const std::uint64_t end = part.chunk_offset + part.disk.length;
    const std::size_t known = content_.size();
    if (part.chunk_offset > known || end > limits::chunk_size_max) return false;
    if (end <= known) continue;
    content_.resize(static_cast<std::size_t>(end));
    if (!output.read(part.disk.offset + (known - part.chunk_offset), std::span(content_).subspan(known))) return false;
  }
  return output.is_chunk(content_, parts.front().chunk);
}

bool UnprovenRanges::is_right(DiskOutput& output, const MapEntry& part) {
  if (!range_fits(part.chunk_offset, part.disk.length, content_.size())) return false;
  there_.resize(static_cast<std::size_t>(part.disk.length));
  return output.read(part.disk.offset, there_) &&
         std::ranges::equal(there_, ByteView(content_).subspan(part.chunk_offset, there_.size()));
}

}  // namespace vmferry::restore
