// FileRestore: files and directories of one volume into an OutputTree. What is found in the file index is gathered, and
// restored in batches, in the order in which it was backed up; while one is restored, the next ones are planned already and
// their chunks are on their way. Memory does not grow with the number of files, but for their hard links and
// directories. One thread.
#pragma once

#include <atomic>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/restore/output_tree.h"
#include "engine/restore/restore.h"
#include "engine/restore/restore_log.h"
#include "engine/restore/volume_content.h"
#include "engine/restore/volume_index.h"
#include "engine/restore/volume_ranges.h"
#include "protocol/external_sort.h"

namespace vmferry::restore {

// A spool of byte strings that are remembered by their place.
class PathSpool {
 public:
  explicit PathSpool(const std::filesystem::path& directory) : file_(directory) {}
  std::uint64_t add(const std::string& text);
  std::string at(std::uint64_t place) const;

 private:
  TemporaryFile file_;
};

class FileRestore {
 public:
  struct Parts {
    VolumeIndex& index;
    VolumeContent& content;
    VolumeRanges& ranges;
    OutputTree& tree;
    RestoreLog& log;
    RestoreResult& result;
    RestoreEvents& events;
    const RestoreOptions& options;
    const std::atomic<bool>& cancel;
    std::uint64_t total_bytes = 0;
  };
  explicit FileRestore(Parts parts);

  // A file, restored as place/name at some later call; by flush() at the latest.
  void add(const NameEntry& entry, const std::string& place, const std::string& name);
  // A directory that was made already; its times are set by finish().
  void add_directory(const NameEntry& entry, const std::string& place, const std::string& name);
  void flush();
  void finish();
  // Counts, warns and is true where the entry is a link that is not restored.
  bool is_link(const NameEntry& entry, const std::string& path);
  // The path as the user may see it: below the output directory.
  void fail(const std::string& path, const Error& error);

 private:
  struct Item {
    NameEntry entry;
    std::string place, name;
    std::optional<RecordEntry> record;
    std::string path() const { return joined_place(place, name); }
  };

  // Planned, and on its way.
  struct Batch {
    std::vector<Item> items;
    std::size_t runs = 0;
    std::uint64_t plan_end = 0;  // a place in the image's plan
  };

  void plan_gathered();
  void plan(std::vector<Item> items);
  void plan_batch(std::vector<Item> items, std::size_t runs);
  void restore_oldest();
  void restore(const Item& item);
  bool restore_link(const Item& item);
  void restore_content(const Item& item);
  bool is_left_out(const Item& item);
  void count_streams(const Item& item);

  Parts to_;
  std::vector<Item> items_;  // gathered
  std::size_t gathered_path_bytes_ = 0;
  std::deque<Batch> planned_;
  std::size_t planned_runs_ = 0;
  bool ranges_loaded_ = false;
  PathSpool paths_;
  std::unordered_map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>> links_;  // record -> place, name
  struct MadeDirectory {
    std::uint64_t place;
    NtfsTimes times;
  };
  std::vector<MadeDirectory> directories_;
  std::uint64_t done_bytes_ = 0;
};

}  // namespace vmferry::restore
