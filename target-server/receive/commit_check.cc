#include "target-server/receive/commit_check.h"

#include <unordered_set>

#include "protocol/error.h"
#include "protocol/file_index.h"
#include "protocol/image_map.h"
#include "protocol/limits.h"
#include "target-server/receive/map_coverage.h"
#include "target-server/receive/tree_walk.h"

namespace vmferry::target_server {
namespace {

// Thrown to end the walk once enough is known to be missing.
struct EnoughMissing {};

class Check {
 public:
  Check(store::Store& store, const std::vector<RestorePoint>& bases)
      : store_(store), source_(store.chunk_source()), bases_(bases) {}

  std::vector<ChunkId> run(const RestorePoint& point) {
    try {
      for (const PointDisk& disk : point.disks) check_disk(disk);
      for (const PointFile& file : point.files) check_file(file);
      look_up();
    } catch (const EnoughMissing&) {
    }
    return {missing_.begin(), missing_.end()};
  }

 private:
  void check_disk(const PointDisk& disk) {
    const PointDisk* base = base_of(disk);
    MapCoverage coverage(disk.size_bytes, base ? base->size_bytes : 0);
    TreeEvents events;
    events.leaf = [&](const TreeNode& leaf) {
      for (const TreeEntry& raw : leaf.entries) {
        const MapEntry entry = decode_map_entry(raw.key, raw.value);
        coverage.entry(entry);
        if (entry.kind == MapKind::data) need(entry.chunk);
      }
    };
    events.same_as_base = [&](ByteView first, const std::optional<Bytes>& end) { coverage.same_as_base(first, end); };
    events.lost = [&](const ChunkId& id, const auto&, const std::optional<Bytes>& end, const std::string& why) {
      lost(id, why);
      coverage.skip_to(end);
    };
    if (base && unchanged(disk.image_map, base->image_map)) {
      if (base->size_bytes != disk.size_bytes)
        throw Error(ErrorCode::malformed, "the image map does not cover the disk once", disk.key,
                    "it is that of a disk of another size");
    } else {
      walk_tree(disk.image_map, base ? base->image_map : TreeRoot{}, store_, *source_, events);
      coverage.finish();
    }
    for (const PointVolume& volume : disk.volumes)
      if (volume.cracked) check_volume(volume, base);
  }

  void check_volume(const PointVolume& volume, const PointDisk* base) {
    TreeRoot base_index;
    if (base)
      for (const PointVolume& candidate : base->volumes)
        if (candidate.cracked && candidate.partition == volume.partition) base_index = candidate.file_index;
    TreeEvents events;
    events.leaf = [](const TreeNode& leaf) {
      for (const TreeEntry& entry : leaf.entries) {
        if (!entry.key.empty() && entry.key.front() == std::byte{'N'})
          decode_name(entry.key, entry.value);
        else
          decode_record(entry.key, entry.value);
      }
    };
    events.same_as_base = [](ByteView, const std::optional<Bytes>&) {};
    events.lost = [&](const ChunkId& id, const auto&, const auto&, const std::string& why) { lost(id, why); };
    if (!unchanged(volume.file_index, base_index))
      walk_tree(volume.file_index, base_index, store_, *source_, events);
  }

  static bool unchanged(const TreeRoot& tree, const TreeRoot& base) { return tree.levels != 0 && tree == base; }

  void check_file(const PointFile& file) {
    if (file.chunks.size() != file.chunk_lengths.size())
      throw Error(ErrorCode::malformed, "a file of the point is not well-formed", file.name);
    std::uint64_t bytes = 0;
    for (const std::uint32_t length : file.chunk_lengths) {
      if (length == 0 || length > limits::chunk_size_max)
        throw Error(ErrorCode::malformed, "a file of the point has a chunk of a bad length", file.name);
      bytes += length;
    }
    if (bytes != file.size_bytes)
      throw Error(ErrorCode::malformed, "the chunks of a file of the point do not add up", file.name);
    for (const ChunkId& id : file.chunks) need(id);
  }

  // The same disk at a base point: by UUID, else by its place in the same machine. Newest base first.
  const PointDisk* base_of(const PointDisk& disk) const {
    for (const RestorePoint& base : bases_)
      for (const PointDisk& candidate : base.disks)
        if (disk.uuid.is_none() ? candidate.key == disk.key : candidate.uuid == disk.uuid) return &candidate;
    return nullptr;
  }

  void need(const ChunkId& id) {
    if (!needed_.empty() && needed_.back() == id) return;
    needed_.push_back(id);
    if (needed_.size() == limits::offer_ids_max) look_up();
  }

  void look_up() {
    if (needed_.empty()) return;
    const std::vector<bool> present = store_.contains(needed_);
    for (std::size_t i = 0; i < needed_.size(); ++i)
      if (!present[i]) miss(needed_[i]);
    needed_.clear();
  }

  void lost(const ChunkId& id, const std::string& why) {
    if (!why.empty()) throw Error(ErrorCode::damaged, "a tree of the point cannot be read back", id.to_string(), why);
    miss(id);
  }

  void miss(const ChunkId& id) {
    missing_.insert(id);
    if (missing_.size() == missing_ids_max) throw EnoughMissing{};
  }

  store::Store& store_;
  std::unique_ptr<ChunkSource> source_;
  const std::vector<RestorePoint>& bases_;
  std::vector<ChunkId> needed_;
  std::unordered_set<ChunkId> missing_;
};

}  // namespace

std::vector<ChunkId> missing_chunks(store::Store& store, const RestorePoint& point,
                                    const std::vector<RestorePoint>& bases) {
  return Check(store, bases).run(point);
}

}  // namespace vmferry::target_server
