#include "engine/backup/former_point.h"

#include "protocol/error.h"
#include "protocol/file_index.h"

namespace vmferry::backup {
namespace {

constexpr std::size_t map_cache_bytes = 24u << 20;
// A stream with more runs is cut by FastCDC alone: its chunks are offered, not known.
constexpr std::size_t runs_max = 1u << 20;

}  // namespace

// FormerRecords: the 'R' entries of a file index; cheap where they are looked up in ascending order, as most are.
class FormerRecords {
 public:
  FormerRecords(const TreeRoot& root, NodeSource& nodes) : cursor_(root, nodes) {}

  // All parts of the record; null where there is none with this reference.
  const RecordEntry* find(MftReference reference) {
    if (!record_ || mft_record_number(record_->record) != mft_record_number(reference)) load(reference);
    return record_ && record_->record == reference ? &*record_ : nullptr;
  }

 private:
  bool at_part(MftReference reference, std::uint16_t part) const {
    return !cursor_.at_end() && cursor_.entry().key == record_key(reference, part);
  }

  void load(MftReference reference) {
    record_.reset();
    cursor_.seek(record_key(reference));
    std::size_t runs = 0;
    for (std::uint16_t part = 0; at_part(reference, part); ++part) {
      RecordEntry entry = decode_record(cursor_.entry().key, cursor_.entry().value);
      for (const StreamEntry& stream : entry.streams) runs += stream.runs.size();
      if (runs > runs_max) return record_.reset();
      const bool more = entry.more_parts;
      if (record_)
        join(std::move(entry));
      else
        record_ = std::move(entry);
      cursor_.next();
      if (!more) return;
    }
  }

  void join(RecordEntry part) {
    std::size_t first = 0;
    if (part.continues && !part.streams.empty() && !record_->streams.empty()) {
      std::vector<StreamRun>& runs = record_->streams.back().runs;
      runs.insert(runs.end(), part.streams[0].runs.begin(), part.streams[0].runs.end());
      first = 1;
    }
    for (std::size_t i = first; i < part.streams.size(); ++i) record_->streams.push_back(std::move(part.streams[i]));
  }

  TreeCursor cursor_;
  std::optional<RecordEntry> record_;
};

FormerDisk::FormerDisk(const PointDisk& disk, NodeSource& nodes)
    : disk_(disk), nodes_(nodes), map_(disk.image_map, disk.size_bytes, nodes, map_cache_bytes) {}
FormerDisk::~FormerDisk() = default;

std::vector<ByteRange> FormerDisk::former_ranges(const StreamInfo& info, const PointVolume& volume) {
  std::unique_ptr<FormerRecords>& records = records_[volume.partition];
  if (!records) records = std::make_unique<FormerRecords>(volume.file_index, nodes_);
  std::vector<ByteRange> ranges;
  MftReference reference = info.record;
  if (const auto volume_references = references_.find(volume.partition); volume_references != references_.end())
    if (const auto found = volume_references->second.find(reference); found != volume_references->second.end())
      reference = found->second;
  const RecordEntry* record = records->find(reference);
  if (record == nullptr) return ranges;
  for (const StreamEntry& stream : record->streams) {
    if (stream.resident || stream.attribute_type != info.attribute_type || stream.name != info.name) continue;
    for (const StreamRun& run : stream.runs) {
      if (run.lcn == StreamRun::run_hole) continue;
      const ByteRange range{checked_mul<std::uint64_t>(run.lcn, volume.cluster_bytes, "a former run"),
                            checked_mul<std::uint64_t>(run.clusters, volume.cluster_bytes, "a former run")};
      if (!range_fits(range.offset, range.length, volume.range.length)) return {};
      ranges.push_back(ByteRange{volume.range.offset + range.offset, range.length});
    }
    return ranges;
  }
  return ranges;
}

void FormerDisk::set_references(std::uint32_t partition, FormerReferences references) {
  references_[partition] = std::move(references);
}

FormerDisk::Stream FormerDisk::stream(const StreamInfo& info, const std::vector<LayoutVolume>& volumes) try {
  Stream found;
  if (info.kind == StreamKind::file) {
    const PointVolume* volume = former_volume_of(disk_, volumes.at(info.volume).partition.number);
    if (volume == nullptr || !volume->cracked) return found;
    const std::vector<ByteRange> ranges = former_ranges(info, *volume);
    if (!ranges.empty()) found.cuts = std::make_unique<FormerFileCuts>(map_, ranges);
    return found;
  }
  auto cuts = std::make_unique<FormerPlaceCuts>(map_);
  found.by_place = cuts.get();
  found.cuts = std::move(cuts);
  return found;
} catch (const Error& error) {
  throw_former_unreadable(error);
}

void KnownNodes::add_below(const ChunkId& id, std::uint8_t level, std::span<const ChunkId> siblings,
                           NodeSource& nodes) {
  if (ids_.size() >= ids_max || !ids_.insert(id).second) return;  // each node once, whatever names it how often
  if (level == 0) return;
  const TreeNode node = parse_tree_node(nodes.node(id, siblings));
  if (node.level != level) throw Error(ErrorCode::malformed, "a tree node of the base point has the wrong level", id.to_string());
  std::vector<ChunkId> children;
  for (const TreeNode::Child& child : node.children) children.push_back(child.node);
  for (const ChunkId& child : children) add_below(child, static_cast<std::uint8_t>(level - 1), children, nodes);
}

void KnownNodes::add_tree(const TreeRoot& root, NodeSource& nodes) try {
  if (root.levels > 0) add_below(root.node, static_cast<std::uint8_t>(root.levels - 1), {}, nodes);
} catch (const Error& error) {
  throw_former_unreadable(error);
}

const PointVolume* former_volume_of(const PointDisk& disk, std::uint32_t partition) {
  for (const PointVolume& volume : disk.volumes)
    if (volume.partition == partition) return &volume;
  return nullptr;
}

const PointDisk* former_disk_of(const RestorePoint& point, const Uuid& disk_uuid, const std::string& key) {
  for (const PointDisk& disk : point.disks)
    if (disk.uuid == disk_uuid && disk.key == key) return &disk;
  for (const PointDisk& disk : point.disks)
    if (disk.uuid == disk_uuid) return &disk;
  for (const PointDisk& disk : point.disks)
    if (disk.key == key) return &disk;
  return nullptr;
}

}  // namespace vmferry::backup
