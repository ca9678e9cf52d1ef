// check_point: every byte that a point names, read back and checked. The trees are walked first; what they name is
// sorted twice on disk: by id, to look each chunk up once, and by place in the store, to read each frame once.
#include <algorithm>
#include <array>
#include <filesystem>

#include "protocol/error.h"
#include "protocol/external_sort.h"
#include "protocol/file_index.h"
#include "protocol/image_map.h"
#include "protocol/limits.h"
#include "target-server/receive/map_coverage.h"
#include "target-server/receive/serve_session.h"
#include "target-server/receive/tree_walk.h"

namespace vmferry::target_server {
namespace {

constexpr std::size_t damage_max = 1000;
constexpr std::size_t sorter_budget_bytes = 24 * limits::MiB;

// One place that names a chunk. For a disk: where the slice lies; for a file of the machine: its index in the point.
struct Use {
  ChunkId id;
  std::uint64_t disk_offset = 0;
  std::uint32_t owner = 0;         // index into disks, or into files
  std::uint32_t slice_offset = 0;
  std::uint32_t slice_bytes = 0;
  bool of_file = false;            // then slice_bytes is the whole chunk's length
};

// A chunk to be read: all its uses in one, the first of them to name it by.
struct Needed {
  store::FrameLocation frame;
  Use first;
  std::uint64_t end_min = 0;       // the chunk is at least as long
  std::uint64_t uses = 0;
};

struct ById {
  bool operator()(const Use& a, const Use& b) const { return a.id < b.id; }
};
struct ByPlace {
  bool operator()(const Needed& a, const Needed& b) const {
    return a.frame != b.frame ? a.frame < b.frame : a.first.id < b.first.id;
  }
};

class Check {
 public:
  Check(store::Store& store, const RestorePoint& point)
      : store_(store),
        source_(store.chunk_source()),
        point_(point),
        uses_(std::filesystem::temp_directory_path(), sorter_budget_bytes),
        needed_(std::filesystem::temp_directory_path(), sorter_budget_bytes) {}

  PointCheck run(const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    for (std::uint32_t i = 0; i < point_.disks.size(); ++i) check_disk(i);
    for (std::uint32_t i = 0; i < point_.files.size(); ++i) check_file(i);
    look_up_all();
    read_all(progress);
    recheck();
    return std::move(result_);
  }

 private:
  void damage(std::string sentence) {
    if (result_.damage.size() < damage_max) result_.damage.push_back(std::move(sentence));
  }

  // What cannot be read back is to come again with the next backup that has it.
  void suspect(const ChunkId& id) {
    suspects_.push_back(id);
    if (suspects_.size() == limits::offer_ids_max) recheck();
  }
  void recheck() {
    if (!suspects_.empty()) store_.recheck(suspects_, true);
    suspects_.clear();
  }

  // --- the trees

  void check_disk(std::uint32_t index) {
    const PointDisk& disk = point_.disks[index];
    MapCoverage coverage(disk.size_bytes, 0);
    TreeEvents events = events_of("the image map of " + disk.key);
    events.leaf = [&](const TreeNode& leaf) {
      for (const TreeEntry& raw : leaf.entries) {
        const MapEntry entry = decode_map_entry(raw.key, raw.value);
        coverage.entry(entry);
        if (entry.kind == MapKind::data)
          uses_.add({entry.chunk, entry.disk.offset, index, entry.chunk_offset,
                     static_cast<std::uint32_t>(entry.disk.length), false});
      }
    };
    const auto name_lost = events.lost;
    events.lost = [&](const ChunkId& id, const auto& first, const std::optional<Bytes>& end, const std::string& why) {
      name_lost(id, first, end, why);
      const std::uint64_t from = first ? MapCoverage::offset_of(*first) : 0;
      const std::uint64_t to = end ? MapCoverage::offset_of(*end) : disk.size_bytes;
      damage("where bytes " + std::to_string(from) + " to " + std::to_string(to) + " of disk " + disk.key +
             " lie cannot be told");
      coverage.skip_to(end);
    };
    try {
      walk_tree(disk.image_map, {}, store_, *source_, events);
      coverage.finish();
    } catch (const Error& error) {
      damage("disk " + disk.key + ": " + error.what());
    }
    for (const PointVolume& volume : disk.volumes)
      if (volume.cracked) check_volume(std::to_string(index) + "." + std::to_string(volume.partition), volume);
  }

  void check_volume(const std::string& name, const PointVolume& volume) {
    TreeEvents events = events_of("the file index of volume " + name);
    events.leaf = [](const TreeNode& leaf) {
      for (const TreeEntry& entry : leaf.entries) {
        if (!entry.key.empty() && entry.key.front() == std::byte{'N'})
          decode_name(entry.key, entry.value);
        else
          decode_record(entry.key, entry.value);
      }
    };
    try {
      walk_tree(volume.file_index, {}, store_, *source_, events);
    } catch (const Error& error) {
      damage("volume " + name + ": " + error.what());
    }
  }

  TreeEvents events_of(std::string tree) {
    TreeEvents events;
    events.node_read = [this](const ChunkId&, std::size_t bytes) {
      ++result_.chunks;
      result_.bytes += bytes;
    };
    events.same_as_base = [](ByteView, const std::optional<Bytes>&) {};
    events.lost = [this, tree](const ChunkId& id, const auto&, const auto&, const std::string& why) {
      suspect(id);
      damage("a node of " + tree + (why.empty() ? " is missing: " + id.to_string() : " is damaged: " + why));
    };
    return events;
  }

  void check_file(std::uint32_t index) {
    const PointFile& file = point_.files[index];
    if (file.chunks.size() != file.chunk_lengths.size()) return damage("the chunks of " + file.name + " do not add up");
    for (std::size_t i = 0; i < file.chunks.size(); ++i)
      uses_.add({file.chunks[i], 0, index, 0, file.chunk_lengths[i], true});
  }

  // --- what they name

  void look_up_all() {
    std::vector<Needed> batch;
    uses_.rewind();
    for (auto use = uses_.next(); use; use = uses_.next()) {
      if (batch.empty() || batch.back().first.id != use->id) {
        if (batch.size() == limits::offer_ids_max) look_up(batch);
        batch.push_back({{}, *use, 0, 0});
      }
      Needed& needed = batch.back();
      needed.end_min = std::max(needed.end_min, std::uint64_t{use->slice_offset} + use->slice_bytes);
      ++needed.uses;
      if (use->of_file) needed.first = *use;  // its length is exact: it says more
    }
    look_up(batch);
  }

  void look_up(std::vector<Needed>& batch) {
    if (batch.empty()) return;
    std::vector<ChunkId> ids, missing;
    for (const Needed& needed : batch) ids.push_back(needed.first.id);
    const auto find = [&](const ChunkId& id) -> Needed& {  // the batch is sorted by id
      return *std::ranges::lower_bound(batch, id, {}, [](const Needed& needed) { return needed.first.id; });
    };
    for (const auto& [frame, ids_in_it] : store_.locate(ids, missing)) {
      for (const ChunkId& id : ids_in_it) {
        Needed& needed = find(id);
        needed.frame = frame;
        needed_.add(needed);
      }
    }
    for (const ChunkId& id : missing) {
      suspect(id);
      damage(sentence(find(id), "is missing from the store"));
    }
    batch.clear();
  }

  void read_all(const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    std::uint64_t total = 0, done = 0;
    store::FrameLocation last{};
    needed_.rewind();
    for (auto needed = needed_.next(); needed; needed = needed_.next()) {
      if (needed->frame != last) total += needed->frame.length;
      last = needed->frame;
    }
    if (progress) progress(0, total);
    std::vector<Needed> of_frame;
    const auto flush = [&] {
      if (of_frame.empty()) return;
      read_frame(of_frame);
      done += of_frame.front().frame.length;
      of_frame.clear();
      if (progress) progress(done, total);
    };
    needed_.rewind();
    for (auto needed = needed_.next(); needed; needed = needed_.next()) {
      if (!of_frame.empty() && of_frame.front().frame != needed->frame) flush();
      of_frame.push_back(*needed);
    }
    flush();
  }

  // chunks: in the order of their ids.
  void read_frame(const std::vector<Needed>& chunks) {
    std::vector<bool> seen(chunks.size());
    try {
      const Bytes bytes = store_.read_frame(chunks.front().frame);
      const FrameView frame = parse_frame(bytes);
      const ByteView content = decoder_.decode(frame);
      std::size_t offset = 0;
      for (const FrameChunk& chunk : frame.chunks) {
        const auto at = std::ranges::lower_bound(chunks, chunk.id, {}, [](const Needed& n) { return n.first.id; });
        const ByteView chunk_bytes = content.subspan(offset, chunk.length);
        offset += chunk.length;
        if (at == chunks.end() || at->first.id != chunk.id) continue;
        const auto index = static_cast<std::size_t>(at - chunks.begin());
        if (seen[index]) continue;
        seen[index] = true;
        check_chunk(*at, chunk_bytes);
      }
    } catch (const Error& error) {
      return lost(chunks, seen, std::string("cannot be read back (") + error.what() + ")");
    }
    lost(chunks, seen, "is not in the frame where the index says it is");
  }

  void lost(const std::vector<Needed>& chunks, const std::vector<bool>& seen, const std::string& why) {
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      if (seen[i]) continue;
      suspect(chunks[i].first.id);
      damage(sentence(chunks[i], why));
    }
  }

  void check_chunk(const Needed& needed, ByteView content) {
    if (chunk_id_of(store_.domain().key, content) != needed.first.id) {
      suspect(needed.first.id);
      return damage(sentence(needed, "is not what its id says"));
    }
    if (content.size() < needed.end_min || (needed.first.of_file && content.size() != needed.first.slice_bytes))
      return damage(sentence(needed, "has another length than the point says"));
    ++result_.chunks;
    result_.bytes += content.size();
  }

  std::string sentence(const Needed& needed, const std::string& what) const {
    const Use& use = needed.first;
    std::string where = use.of_file ? "file " + point_.files[use.owner].name
                                    : "disk " + point_.disks[use.owner].key + ", bytes " +
                                          std::to_string(use.disk_offset) + " to " +
                                          std::to_string(use.disk_offset + use.slice_bytes);
    if (needed.uses > 1) where += " and " + std::to_string(needed.uses - 1) + " more places";
    return where + ": chunk " + use.id.to_string() + " " + what;
  }

  store::Store& store_;
  std::unique_ptr<ChunkSource> source_;
  const RestorePoint& point_;
  ExternalSorter<Use, ById> uses_;
  ExternalSorter<Needed, ByPlace> needed_;
  FrameDecoder decoder_;
  std::vector<ChunkId> suspects_;
  PointCheck result_;
};

}  // namespace

PointCheck check_point(store::Store& store, const RestorePoint& point,
                       const std::function<void(std::uint64_t done, std::uint64_t total)>& progress) {
  return Check(store, point).run(progress);
}

}  // namespace vmferry::target_server
