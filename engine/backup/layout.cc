#include "engine/backup/layout.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/backup/volume_layout.h"
#include "protocol/external_sort.h"

namespace vmferry::backup {
namespace {

struct SkippedRange {
  ByteRange disk;
  MapKind kind;
};

// A spool of fixed-size records, written once and read front to back through a buffer.
template <typename T>
class Spool {
 public:
  explicit Spool(const std::filesystem::path& directory) : file_(directory) {}

  void add(const T& record) {
    buffer_.push_back(record);
    if (buffer_.size() == records_per_write) flush();
  }
  void flush() {
    file_.append(buffer_.data(), buffer_.size() * sizeof(T));
    buffer_.clear();
  }
  void visit(const std::function<void(const T&)>& use) const {
    std::vector<T> records;
    for (std::uint64_t at = 0; at < file_.size();) {
      const auto take = std::min<std::uint64_t>(file_.size() - at, records_per_write * sizeof(T));
      records.resize(static_cast<std::size_t>(take) / sizeof(T));
      file_.read(at, records.data(), static_cast<std::size_t>(take));
      at += take;
      for (const T& record : records) use(record);
    }
  }

 private:
  static constexpr std::size_t records_per_write = 4096;
  TemporaryFile file_;
  std::vector<T> buffer_;
};

// A volume's last stream: its remainder, or all of it where it is opaque. The disk's outside is the tail of no volume.
StreamKey tail_of(std::size_t volume) {
  return {static_cast<std::uint32_t>(volume), std::numeric_limits<std::uint32_t>::max(), 0};
}

std::string volume_name(const std::string& disk_key, const disk::Partition& partition) {
  return disk_key + " volume " + std::to_string(partition.number);
}

std::string kind_of(const disk::Partition& partition) {
  if (!partition.signature.empty()) return partition.signature;
  return partition.type.empty() ? "nothing that vmferry knows" : partition.type;
}

class BuiltLayout final : public DiskLayout {
 public:
  BuiltLayout(const disk::Disk& disk, const LayoutOptions& options, std::string disk_key)
      : disk_(disk),
        options_(options),
        disk_key_(std::move(disk_key)),
        table_(disk::read_partitions(disk)),
        pieces_(options.spool_directory, options.sort_memory_bytes),
        skipped_(options.spool_directory) {
    for (const std::string& problem : table_.problems)
      warnings_.push_back({"partition_table", disk_key_, problem});
    crack_volumes();
    assemble();
  }

  const disk::PartitionTable& table() const noexcept override { return table_; }
  const std::vector<LayoutVolume>& volumes() const noexcept override { return volumes_; }
  const KindBytes& bytes() const noexcept override { return bytes_; }
  const std::vector<Warning>& warnings() const noexcept override { return warnings_; }
  const std::vector<std::string>& notes() const noexcept override { return notes_; }
  bool hibernated() const noexcept override { return hibernated_; }
  std::unique_ptr<StreamWalker> streams() override;
  void skipped(const std::function<void(const ByteRange&, MapKind)>& visit) override {
    skipped_.visit([&](const SkippedRange& range) { visit(range.disk, range.kind); });
  }
  void file_index(std::uint32_t volume, const std::function<void(ByteView, ByteView)>& visit) override {
    if (cracked_.at(volume)) cracked_[volume]->file_index(visit);
  }

 private:
  friend class Walker;

  void crack_volumes();
  void crack_one(const disk::Partition& partition);
  void note_opaque(const disk::Partition& partition);
  void assemble();
  void assemble_cracked(std::size_t index);
  void skip(const ByteRange& range, MapKind kind, KindBytes& into);
  void whole_range(const ByteRange& range, const StreamKey& stream, std::uint64_t& stream_offset, KindBytes& into);

  const disk::Disk& disk_;
  LayoutOptions options_;
  std::string disk_key_;
  disk::PartitionTable table_;
  std::vector<LayoutVolume> volumes_;
  std::vector<std::unique_ptr<VolumeLayout>> cracked_;  // beside volumes_; null where opaque
  std::vector<std::uint64_t> tail_stream_bytes_;  // of each volume's last stream (tail_of), then of the outside
  ExternalSorter<StreamPiece, PieceOrder> pieces_;
  Spool<SkippedRange> skipped_;
  KindBytes bytes_;
  std::vector<Warning> warnings_;
  std::vector<std::string> notes_;
  bool hibernated_ = false;
};

void BuiltLayout::note_opaque(const disk::Partition& partition) {
  const std::string name = volume_name(disk_key_, partition);
  if (partition.signature.empty() && partition.type == "ntfs/exfat")
    warnings_.push_back({"volume_not_cracked", name,
                         "the partition table calls it NTFS, but it does not begin like one: it was backed up whole"});
  else
    notes_.push_back(name + " (" + kind_of(partition) + ") is not NTFS: backed up whole, with its free space");
}

void BuiltLayout::crack_one(const disk::Partition& partition) {
  LayoutVolume& volume = volumes_.emplace_back();
  volume.partition = partition;
  cracked_.emplace_back();
  if (partition.signature != "ntfs") return note_opaque(partition);

  // A few volumes may use all of the memory; the bound holds for many of them too.
  const std::size_t memory = options_.sort_memory_bytes / std::max<std::size_t>(1, table_.partitions.size() / 2);
  auto layout = std::make_unique<VolumeLayout>(options_.spool_directory, memory);
  crack::VolumeBytes bytes;
  bytes.size_bytes = partition.range.length;
  bytes.read = [this, &partition](std::uint64_t offset, std::span<std::byte> into) {
    disk_.read(partition.range.offset + offset, into);
  };
  try {
    crack::crack_volume(bytes, options_.sandbox, *layout);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::malformed && error.code() != ErrorCode::unsupported) throw;
    warnings_.push_back({"volume_not_cracked", volume_name(disk_key_, partition),
                         std::string(error.what()) + "; it was backed up whole"});
    return;
  }
  volume.cracked = true;
  volume.facts = layout->facts();
  volume.totals = layout->totals();
  volume.used_bytes = layout->allocated_clusters() * volume.facts.cluster_bytes;
  hibernated_ = hibernated_ || volume.facts.hibernated;
  cracked_.back() = std::move(layout);
}

void BuiltLayout::crack_volumes() {
  for (const disk::Partition& partition : table_.partitions) crack_one(partition);
}

void BuiltLayout::skip(const ByteRange& range, MapKind kind, KindBytes& into) {
  (kind == MapKind::free ? into.free : kind == MapKind::excluded ? into.excluded : into.hole) += range.length;
  skipped_.add({range, kind});
}

// A range of which every byte is kept, but for what the source itself calls a hole.
void BuiltLayout::whole_range(const ByteRange& range, const StreamKey& stream, std::uint64_t& stream_offset,
                              KindBytes& into) {
  for (std::uint64_t at = range.offset; at < range.end();) {
    const disk::DiskExtent extent = disk_.extent_at(at);
    const std::uint64_t end = std::min(range.end(), extent.range.end());
    const ByteRange part{at, end - at};
    if (extent.hole) {
      skip(part, MapKind::hole, into);
    } else {
      pieces_.add({stream, stream_offset, part});
      stream_offset += part.length;
      into.data += part.length;
    }
    at = end;
  }
}

void BuiltLayout::assemble_cracked(std::size_t index) {
  LayoutVolume& volume = volumes_[index];
  VolumeLayout& layout = *cracked_[index];
  const crack::VolumeFacts& facts = volume.facts;
  const bool all = options_.keep.exact || options_.suspended || hibernated_;
  // A log that cannot be read may give any cluster to another file, those of a pagefile that its record still names too.
  const bool log_unknown = !facts.cleanly_closed && !facts.log_readable;
  const VolumeKeep keep{all || options_.keep.free || facts.shadow_copies || log_unknown,
                        all || options_.keep.pagefile || log_unknown, all || options_.keep.hiberfil || log_unknown};
  if (facts.dirty) volume.flags.push_back("dirty");
  if (!facts.cleanly_closed) volume.flags.push_back("not_cleanly_closed");
  if (!facts.log_readable) volume.flags.push_back("log_unreadable");
  if (facts.hibernated) volume.flags.push_back("hibernated");
  if (facts.shadow_copies) volume.flags.push_back("shadow_copies");
  if (facts.mft_mirror_differs) volume.flags.push_back("mft_mirror_differs");
  if (keep.free) volume.flags.push_back("free_kept");
  volume.pagefile_bytes = keep.pagefile ? 0 : layout.pagefile_bytes();
  volume.hiberfil_bytes = keep.hiberfil ? 0 : layout.hiberfil_bytes();

  const std::uint64_t base = volume.partition.range.offset;
  const StreamKey remainder = tail_of(index);
  std::uint64_t remainder_bytes = 0;
  // Neighbouring remainder ranges of different rules are one: then the source's hole map is asked once.
  ByteRange open;
  const auto close_open = [&] {
    if (open.length > 0) whole_range(open, remainder, remainder_bytes, volume.bytes);
    open.length = 0;
  };
  VolumeLayout::Visitor visitor;
  visitor.piece = [&](StreamKey stream, std::uint64_t stream_offset, ByteRange range) {
    close_open();
    stream.volume = static_cast<std::uint32_t>(index);
    pieces_.add({stream, stream_offset, {base + range.offset, range.length}});
    volume.bytes.data += range.length;
  };
  visitor.remainder = [&](ByteRange range) {
    range.offset += base;
    if (open.length > 0 && open.end() == range.offset) {
      open.length += range.length;
      return;
    }
    close_open();
    open = range;
  };
  visitor.skip = [&](ByteRange range, MapKind kind) {
    close_open();
    skip({base + range.offset, range.length}, kind, volume.bytes);
  };
  layout.assemble(keep, visitor);
  const std::uint64_t clusters_bytes = facts.clusters * facts.cluster_bytes;
  if (clusters_bytes < volume.partition.range.length)
    visitor.remainder({clusters_bytes, volume.partition.range.length - clusters_bytes});
  close_open();
  tail_stream_bytes_[index] = remainder_bytes;

  const std::string name = volume_name(disk_key_, volume.partition);
  if (const std::uint64_t lost = layout.overlapping_clusters(); lost > 0)
    warnings_.push_back({"overlapping_clusters", name,
                         std::to_string(lost) + " clusters are claimed by two files: run chkdsk in the guest"});
  if (volume.totals.unreadable_records > 0)
    warnings_.push_back({"unreadable_records", name,
                         std::to_string(volume.totals.unreadable_records) +
                             " MFT records cannot be read: their files cannot be restored alone, the disk can"});
}

void BuiltLayout::assemble() {
  const StreamKey outside = tail_of(volumes_.size());
  tail_stream_bytes_.assign(volumes_.size() + 1, 0);

  std::uint64_t at = 0;
  std::uint64_t outside_bytes = 0;
  for (std::size_t i = 0; i < volumes_.size(); ++i) {
    LayoutVolume& volume = volumes_[i];
    const ByteRange range = volume.partition.range;
    if (range.offset > at) whole_range({at, range.offset - at}, outside, outside_bytes, bytes_);
    if (cracked_[i])
      assemble_cracked(i);
    else
      whole_range(range, tail_of(i), tail_stream_bytes_[i], volume.bytes);
    bytes_.data += volume.bytes.data;
    bytes_.free += volume.bytes.free;
    bytes_.excluded += volume.bytes.excluded;
    bytes_.hole += volume.bytes.hole;
    at = range.end();
  }
  if (at < disk_.size_bytes()) whole_range({at, disk_.size_bytes() - at}, outside, outside_bytes, bytes_);
  tail_stream_bytes_.back() = outside_bytes;
  skipped_.flush();
  if (bytes_.data + bytes_.free + bytes_.excluded + bytes_.hole != disk_.size_bytes())
    throw std::logic_error("the layout does not cover the disk exactly once");
}

// Streams in reading order. A stream without pieces (all of its clusters are somebody else's) is passed over.
class Walker final : public StreamWalker {
 public:
  explicit Walker(BuiltLayout& layout) : layout_(layout) {
    layout_.pieces_.rewind();
    head_ = layout_.pieces_.next();
  }

  std::optional<StreamInfo> next_stream() override {
    while (head_ && in_stream_ && head_->stream == current_) head_ = layout_.pieces_.next();
    if (!head_) return std::nullopt;
    in_stream_ = true;
    current_ = head_->stream;
    StreamInfo info = info_of(current_);
    info.ordinal = next_ordinal_++;
    return info;
  }

  std::optional<ByteRange> next_piece() override {
    if (!in_stream_ || !head_ || head_->stream != current_) return std::nullopt;
    ByteRange range = head_->disk;
    head_ = layout_.pieces_.next();
    while (head_ && head_->stream == current_ && head_->disk.offset == range.end()) {
      range.length += head_->disk.length;
      head_ = layout_.pieces_.next();
    }
    return range;
  }

 private:
  StreamInfo info_of(const StreamKey& key) {
    StreamInfo info;
    if (key != tail_of(key.volume)) {
      info = layout_.cracked_[key.volume]->stream_info(key);
    } else {
      info.kind = key.volume == layout_.volumes_.size() ? StreamKind::outside
                  : layout_.cracked_[key.volume]        ? StreamKind::remainder
                                                        : StreamKind::opaque;
      info.bytes = layout_.tail_stream_bytes_[key.volume];
    }
    info.volume = key.volume;
    return info;
  }

  BuiltLayout& layout_;
  std::optional<StreamPiece> head_;
  StreamKey current_;
  bool in_stream_ = false;
  std::uint64_t next_ordinal_ = 0;
};

std::unique_ptr<StreamWalker> BuiltLayout::streams() { return std::make_unique<Walker>(*this); }

}  // namespace

std::unique_ptr<DiskLayout> DiskLayout::build(const disk::Disk& disk, const LayoutOptions& options,
                                              const std::string& disk_key) {
  return std::make_unique<BuiltLayout>(disk, options, disk_key);
}

}  // namespace vmferry::backup
