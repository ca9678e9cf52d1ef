// DiskLayout: every byte range of a disk, once, with its kind (DESIGN.md, "layout"). It is made from the partition
// table and what the cracker says of each volume, in bounded memory: what must be sorted is sorted on disk.
// What is data belongs to a stream: one attribute of one file, a volume's remaining metadata, an opaque volume, or
// the disk's space outside of volumes. Streams are walked in reading order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/crack/cracker.h"
#include "engine/crack/volume_events.h"
#include "engine/disk/disk.h"
#include "engine/disk/partitions.h"
#include "protocol/image_map.h"
#include "protocol/point.h"

namespace vmferry::backup {

struct KeepOptions {
  bool exact = false;            // nothing is left out
  bool free = false, pagefile = false, hiberfil = false;  // --keep
};

struct LayoutOptions {
  KeepOptions keep;
  bool suspended = false;        // a suspended machine: nothing is left out
  crack::SandboxLimits sandbox;
  std::filesystem::path spool_directory;
  std::size_t sort_memory_bytes = 32u << 20;  // per sorter, of which at most three live at once
};

struct LayoutVolume {
  disk::Partition partition;
  bool cracked = false;
  crack::VolumeFacts facts;      // where cracked
  crack::VolumeTotals totals;
  KindBytes bytes;
  std::uint64_t used_bytes = 0;  // by $Bitmap, where cracked
  std::uint64_t pagefile_bytes = 0, hiberfil_bytes = 0;  // of the excluded ones
  std::vector<std::string> flags;  // as PointVolume::flags
};

enum class StreamKind : std::uint8_t {
  file,          // `record`, `attribute_type`, `name` say which
  remainder,     // a volume's clusters without an owner, kept free ones, and its bytes past the last cluster
  opaque,        // a volume that was not cracked
  outside,       // the disk's bytes in no volume: partition tables, gaps
};

struct StreamInfo {
  std::uint64_t ordinal = 0;     // counts the streams as they are walked
  StreamKind kind = StreamKind::file;
  std::uint32_t volume = 0;      // index into volumes(); meaningless for outside
  MftReference record = 0;
  std::uint32_t attribute_type = 0;
  std::u16string name;
  std::uint64_t bytes = 0;       // the sum of its pieces; at most that where files overlap
};

// StreamWalker: the streams in reading order (almost that of the disk), each with its pieces (disk ranges) in stream order. One thread.
class StreamWalker {
 public:
  virtual ~StreamWalker() = default;
  virtual std::optional<StreamInfo> next_stream() = 0;     // skips what is left of the one before
  virtual std::optional<ByteRange> next_piece() = 0;       // of the current stream; disk ranges, never empty
};

class DiskLayout {
 public:
  // Reads and cracks. What a volume's cracking throws makes that volume opaque, and a warning; only errors of the
  // disk itself are thrown. progress: bytes of the disk looked at so far are not known, so volumes done of all.
  static std::unique_ptr<DiskLayout> build(const disk::Disk& disk, const LayoutOptions& options,
                                           const std::string& disk_key);
  virtual ~DiskLayout() = default;

  virtual const disk::PartitionTable& table() const noexcept = 0;
  virtual const std::vector<LayoutVolume>& volumes() const noexcept = 0;
  virtual const KindBytes& bytes() const noexcept = 0;
  virtual const std::vector<Warning>& warnings() const noexcept = 0;
  virtual const std::vector<std::string>& notes() const noexcept = 0;
  virtual bool hibernated() const noexcept = 0;   // any volume: then nothing may be left out on any disk

  virtual std::unique_ptr<StreamWalker> streams() = 0;  // one at a time
  // What is not in any stream (free, excluded, hole), in disk order.
  virtual void skipped(const std::function<void(const ByteRange&, MapKind)>& visit) = 0;
  // The entries of a cracked volume's file index in strict key order, ready for a TreeBuilder.
  virtual void file_index(std::uint32_t volume, const std::function<void(ByteView key, ByteView value)>& visit) = 0;
};

}  // namespace vmferry::backup
