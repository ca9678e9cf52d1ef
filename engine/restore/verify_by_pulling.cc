#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>

#include "engine/restore/chunk_pipeline.h"
#include "engine/restore/restore.h"
#include "engine/restore/tree_check.h"
#include "protocol/error.h"
#include "protocol/external_sort.h"
#include "protocol/file_index.h"
#include "protocol/image_map.h"

namespace vmferry::restore {
namespace {

constexpr std::size_t damage_max = 1000;
constexpr std::size_t chunks_ahead_max = 65536;

// A use of a chunk: the first of each chunk is when it is fetched; the one that needs most of it says how long it
// must be.
struct ChunkUse {
  ChunkId id;
  std::uint64_t order = 0;       // of use, over the whole point
  std::uint64_t disk_offset = 0;
  std::uint64_t bytes_needed = 0;
  std::uint32_t disk = 0;        // 0xffffffff: a file beside the disks
};
constexpr std::uint32_t no_disk = 0xffffffff;

struct ByIdThenOrder {
  bool operator()(const ChunkUse& a, const ChunkUse& b) const {
    return a.id != b.id ? a.id < b.id : a.order < b.order;
  }
};
struct ByOrder {
  bool operator()(const ChunkUse& a, const ChunkUse& b) const { return a.order < b.order; }
};

class PullVerification {
 public:
  PullVerification(const RestorePoint& point, const RestoreOptions& options, target::TargetSession& session,
                   RestoreEvents& events, const std::atomic<bool>& cancel)
      : point_(point),
        options_(options),
        session_(session),
        events_(events),
        cancel_(cancel),
        uses_(options.spool_directory, options.memory_bytes / 4) {}

  target::VerifyResult run() {
    events_.phase("reading the trees");
    for (std::size_t i = 0; i < point_.disks.size(); ++i) check_disk(i);
    for (const PointFile& file : point_.files) check_file(file);
    events_.phase("reading the chunks");
    read_chunks();
    return std::move(result_);
  }

 private:
  void damage(std::string sentence) {
    if (result_.damage.size() < damage_max) result_.damage.push_back(std::move(sentence));
  }

  void count(const TreeCheck& tree) {
    result_.chunks += tree.nodes;
    result_.bytes += tree.node_bytes;
  }

  void expect_entries(const TreeCheck& tree, const TreeRoot& root, bool is_whole, const std::string& name) {
    if (is_whole && tree.entries != root.entries)
      damage(name + " has " + std::to_string(tree.entries) + " entries, not " + std::to_string(root.entries));
  }

  void stop_if_cancelled() const {
    if (cancel_) throw Error(ErrorCode::cancelled, "the verification was stopped");
  }

  void check_disk(std::size_t number) {
    const PointDisk& disk = point_.disks[number];
    const std::string name = "the image map of " + disk.key;
    std::uint64_t covered_to = 0;
    bool is_whole = true;  // false: a gap is only what a broken node took with it
    check_entries(disk.image_map, name, is_whole, [&](const TreeEntry& tree_entry) {
      const MapEntry entry = decode_map_entry(tree_entry.key, tree_entry.value);
      const std::uint64_t end = checked_add(entry.disk.offset, entry.disk.length, "an image map");
      if (entry.disk.offset < covered_to || end > disk.size_bytes || (is_whole && entry.disk.offset > covered_to))
        damage(name + " does not cover the disk once at byte " +
               std::to_string(std::min(covered_to, entry.disk.offset)));
      covered_to = std::max(covered_to, end);
      if (entry.kind == MapKind::data)
        add_use(entry.chunk, entry.chunk_offset + entry.disk.length, static_cast<std::uint32_t>(number),
                entry.disk.offset);
    });
    if (is_whole && covered_to != disk.size_bytes) damage(name + " ends at byte " + std::to_string(covered_to));
    for (const PointVolume& volume : disk.volumes)
      if (volume.cracked) check_index(volume, std::to_string(number) + "." + std::to_string(volume.partition));
  }

  void check_index(const PointVolume& volume, const std::string& volume_name) {
    bool is_whole = true;
    check_entries(volume.file_index, "the file index of " + volume_name, is_whole, [](const TreeEntry& entry) {
      const bool is_name = !entry.key.empty() && entry.key[0] == std::byte{'N'};
      is_name ? static_cast<void>(decode_name(entry.key, entry.value))
              : static_cast<void>(decode_record(entry.key, entry.value));
    });
  }

  // Walks a whole tree. What `check` throws, and what cannot be read (then the tree is not whole), is damage of `name`.
  void check_entries(const TreeRoot& root, const std::string& name, bool& is_whole,
                     const std::function<void(const TreeEntry&)>& check) {
    const TreeCheck tree = check_tree(
        root, session_.chunks(),
        [&](const TreeEntry& entry) {
          stop_if_cancelled();
          try {
            check(entry);
          } catch (const Error& error) {
            if (error.code() == ErrorCode::cancelled) throw;
            damage(name + ": " + error.what());
          }
        },
        [&](const std::string& why) {
          is_whole = false;
          damage(name + ": " + why);
        });
    count(tree);
    expect_entries(tree, root, is_whole, name);
  }

  void check_file(const PointFile& file) {
    std::uint64_t bytes = 0;
    bool is_right = file.chunks.size() == file.chunk_lengths.size();
    for (std::size_t i = 0; is_right && i < file.chunks.size(); ++i) {
      add_use(file.chunks[i], file.chunk_lengths[i], no_disk, 0);
      is_right = !__builtin_add_overflow(bytes, file.chunk_lengths[i], &bytes);
    }
    if (!is_right || bytes != file.size_bytes) damage("the file " + file.name + " has another length than its chunks");
  }

  void add_use(const ChunkId& id, std::uint64_t bytes_needed, std::uint32_t disk, std::uint64_t disk_offset) {
    uses_.add({id, uses_.count(), disk_offset, bytes_needed, disk});
  }

  // Each chunk once, in the order of first use: near to the order in which the store has them.
  void read_chunks() {
    ExternalSorter<ChunkUse, ByOrder> firsts(options_.spool_directory, options_.memory_bytes / 4);
    uses_.rewind();
    std::uint64_t total = 0;
    std::optional<ChunkUse> first;
    for (std::optional<ChunkUse> use = uses_.next(); use; use = uses_.next()) {
      if (first && first->id == use->id) {
        first->bytes_needed = std::max(first->bytes_needed, use->bytes_needed);
        continue;
      }
      if (first) firsts.add(*first), total += first->bytes_needed;
      first = use;
    }
    if (first) firsts.add(*first), total += first->bytes_needed;
    firsts.rewind();
    pull(firsts, total);
  }

  void pull(ExternalSorter<ChunkUse, ByOrder>& firsts, std::uint64_t total) {
    ChunkPipeline chunks(session_, options_.memory_bytes / 2, ChunkPipeline::Order::of_use);
    std::deque<ChunkUse> ahead;
    bool ended = false;
    std::uint64_t done = 0;
    auto told = std::chrono::steady_clock::now();
    while (true) {
      stop_if_cancelled();
      while (!ended && (ahead.empty() || (ahead.size() < chunks_ahead_max && chunks.has_room()))) {
        const std::optional<ChunkUse> use = firsts.next();
        ended = !use;
        if (!use) break;
        chunks.ask(use->id, use->bytes_needed);
        ahead.push_back(*use);
      }
      if (ahead.empty()) break;
      check_chunk(ahead.front(), chunks);
      done += ahead.front().bytes_needed;
      ahead.pop_front();
      const auto now = std::chrono::steady_clock::now();
      if (now - told < std::chrono::milliseconds(200)) continue;
      told = now;
      events_.progress(done, total);
    }
    events_.progress(total, total);
  }

  void check_chunk(const ChunkUse& use, ChunkPipeline& chunks) {
    std::string why;
    try {
      const SharedBytes content = chunks.take(use.id);
      ++result_.chunks;
      result_.bytes += content->size();
      if (content->size() >= use.bytes_needed) return;
      why = "it is shorter than what is used of it";
    } catch (const Error& error) {
      if (error.code() != ErrorCode::damaged) throw;
      why = error.what();
    }
    const std::string place = use.disk == no_disk
                                  ? std::string("a file beside the disks")
                                  : point_.disks[use.disk].key + " at byte " + std::to_string(use.disk_offset);
    damage("chunk " + use.id.to_string() + " (" + place + "): " + why);
  }

  const RestorePoint& point_;
  const RestoreOptions& options_;
  target::TargetSession& session_;
  RestoreEvents& events_;
  const std::atomic<bool>& cancel_;
  target::VerifyResult result_;
  ExternalSorter<ChunkUse, ByIdThenOrder> uses_;
};

}  // namespace

target::VerifyResult verify_by_pulling(const RestorePoint& point, const RestoreOptions& options,
                                       target::TargetSession& session, RestoreEvents& events,
                                       const std::atomic<bool>& cancel) {
  return PullVerification(point, options, session, events, cancel).run();
}

}  // namespace vmferry::restore
