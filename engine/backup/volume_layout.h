// VolumeLayout: one volume's part of a disk layout. It takes the cracker's events, or nothing (opaque), and then says
// for every byte of the volume what it is. Rules, in this order, for each cluster:
//   1. a run of a stream that is kept holds it: it is that stream's (the first owner's, where two claim it)
//   2. the log names it: it is kept, in the remainder
//   3. a run of pagefile.sys or hiberfil.sys holds it: excluded, or the remainder where that is kept
//   4. $Bitmap says allocated: the remainder
//   5. it is free: left out, or the remainder where free clusters are kept
// One thread. Memory: sort_memory_bytes for each of three sorters while cracking.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <unordered_map>

#include "engine/backup/entry_sorter.h"
#include "engine/backup/layout.h"
#include "protocol/external_sort.h"

namespace vmferry::backup {

// A stream's place in the reading order. Streams that begin in the same region of the disk are read together, within it in
// the order of their MFT records: so the disk is read almost from front to back, a pack's order is almost the disk's (a
// restore reads it so), small files of one directory share frames, and records are looked up in ascending stretches.
struct StreamKey {
  std::uint32_t volume = 0;    // the disk's outside comes last
  std::uint32_t region = 0;    // where its first cluster lies; a remainder comes last
  std::uint64_t name_at = 0;   // where the volume's spool names it: ascends with the record
  auto operator<=>(const StreamKey&) const = default;
};

// A stretch of a disk that belongs to a stream. Fixed-size, for sorting on disk.
struct StreamPiece {
  StreamKey stream;
  std::uint64_t stream_offset = 0;
  ByteRange disk;
};

struct PieceOrder {
  bool operator()(const StreamPiece& a, const StreamPiece& b) const noexcept {
    return a.stream != b.stream ? a.stream < b.stream : a.stream_offset < b.stream_offset;
  }
};

// Why clusters without an owner stay, decided over the whole machine.
struct VolumeKeep {
  bool free = false, pagefile = false, hiberfil = false;
};

class VolumeLayout : public crack::VolumeSink {
 public:
  VolumeLayout(std::filesystem::path spool_directory, std::size_t sort_memory_bytes);

  // VolumeSink. Throws Error{malformed} where the guest's bytes ask for more than can be bounded.
  void volume(const crack::VolumeFacts& facts) override;
  void stream(const crack::StreamEvent& event) override;
  void file(const NameEntry& name) override;
  void kept(std::uint64_t lcn, std::uint64_t clusters) override;
  void allocated(std::uint64_t lcn, std::uint64_t clusters) override;
  void done(const crack::VolumeTotals& totals) override;

  const crack::VolumeFacts& facts() const noexcept { return facts_; }
  const crack::VolumeTotals& totals() const noexcept { return totals_; }
  std::uint64_t overlapping_clusters() const noexcept { return overlapping_clusters_; }
  std::uint64_t allocated_clusters() const noexcept { return allocated_clusters_; }
  std::uint64_t pagefile_bytes() const noexcept { return pagefile_bytes_; }
  std::uint64_t hiberfil_bytes() const noexcept { return hiberfil_bytes_; }

  // What a cluster range is, in volume order, as byte ranges within the volume that cover all clusters. A piece's key has
  // no volume yet.
  struct Visitor {
    std::function<void(const StreamKey& stream, std::uint64_t stream_offset, ByteRange in_volume)> piece;
    std::function<void(ByteRange in_volume)> remainder;
    std::function<void(ByteRange in_volume, MapKind kind)> skip;
  };
  void assemble(const VolumeKeep& keep, const Visitor& visitor);

  // The stream of a key that assemble() gave: what the file system calls it, and the bytes of its pieces. Cheap where keys
  // come in reading order.
  StreamInfo stream_info(const StreamKey& key);

  void file_index(const std::function<void(ByteView, ByteView)>& visit);

 private:
  struct OwnedRun {
    std::uint64_t lcn, clusters;
    std::uint64_t stream_cluster;  // among the stream's stored clusters
    StreamKey stream;              // empty for runs whose stream does not matter
  };
  struct RunOrder {
    bool operator()(const OwnedRun& a, const OwnedRun& b) const noexcept {
      return a.lcn != b.lcn ? a.lcn < b.lcn : a.stream < b.stream;
    }
  };
  using RunSorter = ExternalSorter<OwnedRun, RunOrder>;
  class Cover;  // a sorted list of ranges, asked for in ascending order

  struct StreamNameHeader {
    std::uint64_t record;
    std::uint64_t bytes;
    std::uint32_t attribute_type;
    std::uint32_t name_units;
  };
  void add_name(const StreamNameHeader& header, const std::u16string& name);
  ByteView name_bytes(std::uint64_t at, std::size_t length);

  void flush_record();
  struct Covers;
  void classify_gap(std::uint64_t begin, std::uint64_t end, const VolumeKeep& keep, Covers& covers,
                    const Visitor& visitor) const;

  std::filesystem::path spool_directory_;
  crack::VolumeFacts facts_;
  crack::VolumeTotals totals_;
  RunSorter runs_;
  RunSorter pagefile_runs_;
  RunSorter hiberfil_runs_;
  RunSorter kept_runs_;
  TemporaryFile allocated_;        // pairs of u64: lcn, clusters; ascending
  std::vector<std::uint64_t> allocated_buffer_;
  TemporaryFile stream_names_;
  Bytes stream_names_buffer_;
  EntrySorter index_;
  std::optional<RecordEntry> pending_;
  std::size_t pending_bytes_ = 0;
  std::uint64_t stream_names_bytes_ = 0;  // with what is still buffered
  std::uint64_t names_read_at_ = 0;       // of stream_names_, what names_read_ holds
  Bytes names_read_;
  std::uint64_t allocated_clusters_ = 0;
  std::uint64_t overlapping_clusters_ = 0;
  std::uint64_t pagefile_bytes_ = 0, hiberfil_bytes_ = 0;
  std::unordered_map<std::uint64_t, std::uint64_t> clipped_bytes_;  // by name_at, for streams that lost clusters
};

}  // namespace vmferry::backup
