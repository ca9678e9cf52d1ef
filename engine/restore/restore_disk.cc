#include "engine/restore/restore_disk.h"

#include <chrono>
#include <deque>
#include <optional>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "engine/restore/chunk_pipeline.h"
#include "engine/restore/disk_output.h"
#include "engine/restore/map_ahead.h"
#include "protocol/error.h"
#include "protocol/image_map.h"

namespace vmferry::restore {
namespace {

constexpr std::size_t entries_ahead_max = 65536;
constexpr std::size_t damaged_ranges_max = 1000;

class DiskRestore {
 public:
  DiskRestore(const PointDisk& disk, const DiskRestoreOptions& options, target::TargetSession& session)
      : disk_(disk),
        options_(options),
        map_(disk, session.chunks()),
        chunks_(session, options.memory_bytes) {}

  void run(DiskOutput& out, RestoreEvents& events, const std::atomic<bool>& cancel, DiskProgress& progress) {
    auto told = std::chrono::steady_clock::now();
    look_ahead(out);
    while (!ahead_.empty()) {
      if (cancel) throw Error(ErrorCode::cancelled, "the restore was stopped", disk_.key);
      const Ahead next = ahead_.front();
      ahead_.pop_front();
      if (next.entry.kind != MapKind::data)
        out.zeros(next.entry.disk);
      else if (next.is_there)
        keep(next.entry, out);
      else
        write(next.entry, out);
      if (next.entry.kind == MapKind::data) progress.done_bytes += next.entry.disk.length;
      look_ahead(out);
      const auto now = std::chrono::steady_clock::now();
      if (now - told >= std::chrono::milliseconds(200)) {
        events.progress(progress.done_bytes, progress.total_bytes);
        told = now;
      }
    }
    out.flush();
  }

  std::uint64_t kept_bytes() const noexcept { return kept_bytes_; }
  std::uint64_t written_bytes() const noexcept { return written_bytes_; }
  const std::vector<ByteRange>& damaged() const noexcept { return damaged_; }
  const std::string& damage() const noexcept { return damage_; }

 private:
  struct Ahead {
    MapEntry entry;
    bool is_there;  // in the output, and right
  };

  // Waits for the map only where there is nothing else to do.
  void look_ahead(DiskOutput& out) {
    while (ahead_.empty() || (ahead_.size() < entries_ahead_max && chunks_.has_room())) {
      const std::optional<MapEntry> entry = ahead_.empty() ? map_.next() : map_.next_if_there();
      if (!entry) return;
      const bool is_there = out.has(*entry);
      if (entry->kind == MapKind::data && !is_there) chunks_.ask(entry->chunk, entry->chunk_offset + entry->disk.length);
      ahead_.push_back({*entry, is_there});
    }
  }

  void keep(const MapEntry& entry, DiskOutput& out) {
    out.keep(entry.disk);
    kept_bytes_ += entry.disk.length;
  }

  void write(const MapEntry& entry, DiskOutput& out) {
    SharedBytes content;
    try {
      content = chunks_.take(entry.chunk);
      if (!range_fits(entry.chunk_offset, entry.disk.length, content->size()))
        throw Error(ErrorCode::damaged, "the image map names more of a chunk than it has", entry.chunk.to_string());
    } catch (const Error& error) {
      if (error.code() != ErrorCode::damaged) throw;
      if (!options_.keep_going) {
        throw Error(
            ErrorCode::damaged, "the disk cannot be restored whole",
            disk_.key + ", bytes " + std::to_string(entry.disk.offset) + " to " + std::to_string(entry.disk.end()),
            std::string(error.what()) + "; --keep-going restores the rest to a file named .partial");
      }
      if (damage_.empty()) damage_ = error.what();
      add_damaged(entry.disk);
      return;
    }
    out.write(entry.disk.offset,
              ByteView(*content).subspan(entry.chunk_offset, static_cast<std::size_t>(entry.disk.length)));
    written_bytes_ += entry.disk.length;
  }

  void add_damaged(ByteRange range) {
    // Past the bound the last one grows: it says too much, never too little.
    if (!damaged_.empty() && (damaged_.back().end() == range.offset || damaged_.size() == damaged_ranges_max)) {
      damaged_.back().length = range.end() - damaged_.back().offset;
    } else {
      damaged_.push_back(range);
    }
  }

  const PointDisk& disk_;
  const DiskRestoreOptions& options_;
  MapAhead map_;
  ChunkPipeline chunks_;
  std::deque<Ahead> ahead_;
  std::uint64_t written_bytes_ = 0, kept_bytes_ = 0;
  std::vector<ByteRange> damaged_;
  std::string damage_;
};

// A restore that was done when its process was killed, or a machine's disk before the one that it was killed in.
// Error{exists} where the disk is not what would be restored.
void keep_finished_disk(const PointDisk& disk, const std::filesystem::path& output, disk::OutputFormat format,
                        const DiskRestoreOptions& options, target::TargetSession& session, RestoreEvents& events,
                        const std::atomic<bool>& cancel, DiskProgress& progress, RestoreResult& result) {
  try {
    const std::unique_ptr<disk::Disk> there = disk::open_disk(output);
    if (disk::same_format(there->description()) != format) throw OtherContent{};
    DiskRestore(disk, options, session)
        .run(*compare_with(*there, disk.size_bytes, session.facts().domain_key), events, cancel, progress);
    for (const disk::DiskFile& file : there->files()) result.outputs.push_back(file.path);
    result.reused_bytes += disk.bytes.data;
  } catch (const OtherContent&) {
    throw Error(ErrorCode::exists, "the output is there already, and is not what would be restored", output.string(),
                "--force overwrites it");
  }
}

bool is_there(const std::filesystem::path& path) {
  struct stat facts {};
  return lstat(path.c_str(), &facts) == 0;
}

}  // namespace

void restore_disk(const PointDisk& disk, const std::filesystem::path& output, disk::OutputFormat format,
                  const DiskRestoreOptions& options, target::TargetSession& session, RestoreEvents& events,
                  const std::atomic<bool>& cancel, DiskProgress& progress, RestoreResult& result) {
  if (options.resume && !options.force && is_there(output))
    return keep_finished_disk(disk, output, format, options, session, events, cancel, progress, result);
  const disk::OutputDisk shape{checked_round_up<std::uint64_t>(disk.size_bytes, 512, "a disk's size"),
                               description_of(disk)};
  const bool was_begun = options.resume && is_there(disk::OutputFile::partial_path_of(output));
  // Opened first: a map that cannot be read leaves nothing behind.
  DiskRestore restore(disk, options, session);
  const std::unique_ptr<disk::DiskWriter> writer =
      disk::create_disk(output, format, shape, {.overwrite = options.force, .resume = options.resume});
  if (was_begun && !writer->is_resumed())
    result.notes.push_back(disk.key + " was restored anew: of an unfinished disk in this format nothing can be kept (of "
                                      "flat and raw ones it can)");
  restore.run(*write_to(*writer, disk.size_bytes, session.facts().domain_key), events, cancel, progress);
  result.written_bytes += restore.written_bytes();
  result.reused_bytes += restore.kept_bytes();
  if (restore.damaged().empty()) {
    writer->finish();
    result.outputs.insert(result.outputs.end(), writer->outputs().begin(), writer->outputs().end());
    return;
  }
  result.damaged = true;
  for (const ByteRange& range : restore.damaged()) {
    Warning warning{"damaged_range", disk.key,
                    "bytes " + std::to_string(range.offset) + " to " + std::to_string(range.end()) +
                        " could not be had: " + output.string() + ".partial has zeros there: " + restore.damage()};
    events.warning(warning);
    result.warnings.push_back(std::move(warning));
  }
}

disk::DiskDescription description_of(const PointDisk& disk) {
  disk::DiskDescription description;
  description.format = disk.format;
  description.file_name = disk.file_name;
  if (!disk.uuid_made_up) description.uuid = disk.uuid;
  description.adapter_type = disk.adapter_type;
  description.geometry = {disk.cylinders, disk.heads, disk.sectors};
  description.ddb = disk.ddb;
  description.descriptor = disk.descriptor;
  description.cid = 0xffffffff;
  return description;
}

void refuse_disk_in_use(const std::filesystem::path& path) {
  struct stat facts {};
  if (lstat(path.c_str(), &facts) != 0) return;
  std::vector<disk::DiskFile> files;
  try {
    files = disk::open_disk(path)->files();
  } catch (const Error&) {
    // No disk that we can read; its lock files count all the same.
    disk::DiskFile file;
    file.path = path;
    file.size = static_cast<std::uint64_t>(facts.st_size);
    file.inode = facts.st_ino;
    file.device = facts.st_dev;
    files.push_back(file);
  }
  const std::vector<std::string> locks = disk::locks_on(files);
  if (!locks.empty())
    throw Error(ErrorCode::refused, "the disk to overwrite is in use", path.string(),
                locks.front() + "; restore to another place, or stop the machine that uses it");
}

void expect_space(const std::filesystem::path& directory, std::uint64_t bytes) {
  struct statvfs facts {};
  const std::filesystem::path where = directory.empty() ? std::filesystem::path(".") : directory;
  if (statvfs(where.c_str(), &facts) != 0)
    throw system_error(errno, "cannot look at the output directory", where.string());
  const std::uint64_t available = std::uint64_t{facts.f_bavail} * facts.f_frsize;
  if (available >= bytes) return;
  throw Error(ErrorCode::no_space, "there is not enough space for the restore", where.string(),
              std::to_string(bytes) + " bytes are needed, " + std::to_string(available) +
                  " are available: free some, or give another --output");
}

}  // namespace vmferry::restore
