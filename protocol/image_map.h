// Image map: disk range -> slice of a chunk, for one disk of one restore point; a tree (protocol/tree.h) keyed
// by the range's disk offset (8 bytes big-endian). It covers [0, disk size) exactly once.
// docs/format/image-map.md has the encoding with worked hex.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "protocol/byte_range.h"
#include "protocol/chunk_id.h"
#include "protocol/tree.h"

namespace vmferry {

enum class MapKind : std::uint8_t {
  data = 0,      // a slice of a chunk
  zero = 1,      // was read, and is zeros
  hole = 2,      // the source's own hole map says that nothing was ever written here
  free = 3,      // left out: free clusters; reads as zeros
  excluded = 4,  // left out: pagefile, swapfile, hiberfil; reads as zeros, but is not the file's content
};

struct MapEntry {
  ByteRange disk;                 // length > 0
  MapKind kind = MapKind::data;
  ChunkId chunk;                  // data only
  std::uint32_t chunk_offset = 0;  // data only: where in the chunk's content the slice begins
  bool operator==(const MapEntry&) const = default;
};

// ImageMapWriter: entries in disk order, without a gap; throws std::logic_error otherwise. Joins neighbours
// of the same kind (data: the same chunk, slices in sequence).
class ImageMapWriter {
 public:
  ImageMapWriter(const DomainKey& key, TreeBuilder::EmitNode emit);
  ~ImageMapWriter();
  void add(const MapEntry& entry);
  TreeRoot finish(std::uint64_t disk_bytes);  // throws std::logic_error unless [0, disk_bytes) is covered

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// ImageMapReader: entries from any offset on, clipped to where one seeks. Checks that the map has no gap and
// no overlap as it goes (Error{malformed}). One thread.
class ImageMapReader {
 public:
  ImageMapReader(TreeRoot root, std::uint64_t disk_bytes, ChunkSource& source,
                 TreeWalk walk = TreeWalk::here_and_there);
  ~ImageMapReader();

  // The entry that holds `offset`, clipped to begin there; nullopt at or past the disk's end.
  std::optional<MapEntry> at(std::uint64_t offset);
  // The next one in disk order after what at() or next() gave last.
  std::optional<MapEntry> next();
  std::uint64_t disk_bytes() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The pure codec, for the commit check and tests. Key and value of a tree entry <-> MapEntry.
void encode_map_entry(const MapEntry& entry, Bytes& key, Bytes& value);
MapEntry decode_map_entry(ByteView key, ByteView value);  // throws Error{malformed}

}  // namespace vmferry
