#include "engine/restore/restore_disk.h"

#include <chrono>
#include <deque>
#include <optional>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "engine/restore/chunk_pipeline.h"
#include "engine/restore/sector_writer.h"
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
        map_(disk.image_map, disk.size_bytes, session.chunks()),
        chunks_(session, options.memory_bytes) {}

  void run(SectorWriter& out, RestoreEvents& events, const std::atomic<bool>& cancel, DiskProgress& progress) {
    auto told = std::chrono::steady_clock::now();
    look_ahead();
    while (!ahead_.empty()) {
      if (cancel) throw Error(ErrorCode::cancelled, "the restore was stopped", disk_.key);
      const MapEntry entry = ahead_.front();
      ahead_.pop_front();
      // Zeros, holes and what was left out are not written: they stay holes.
      if (entry.kind == MapKind::data) {
        write(entry, out);
        progress.done_bytes += entry.disk.length;
      }
      look_ahead();
      const auto now = std::chrono::steady_clock::now();
      if (now - told >= std::chrono::milliseconds(200)) {
        events.progress(progress.done_bytes, progress.total_bytes);
        told = now;
      }
    }
    out.flush();
  }

  std::uint64_t written_bytes() const noexcept { return written_bytes_; }
  const std::vector<ByteRange>& damaged() const noexcept { return damaged_; }
  const std::string& damage() const noexcept { return damage_; }

 private:
  void look_ahead() {
    while (!map_ended_ && (ahead_.empty() || (ahead_.size() < entries_ahead_max && chunks_.has_room()))) {
      const std::optional<MapEntry> entry = started_ ? map_.next() : map_.at(0);
      started_ = true;
      if (!entry) {
        map_ended_ = true;
        return;
      }
      if (entry->kind == MapKind::data) chunks_.ask(entry->chunk);
      ahead_.push_back(*entry);
    }
  }

  void write(const MapEntry& entry, SectorWriter& out) {
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
  ImageMapReader map_;
  ChunkPipeline chunks_;
  std::deque<MapEntry> ahead_;
  bool started_ = false;
  bool map_ended_ = false;
  std::uint64_t written_bytes_ = 0;
  std::vector<ByteRange> damaged_;
  std::string damage_;
};

}  // namespace

void restore_disk(const PointDisk& disk, const std::filesystem::path& output, disk::OutputFormat format,
                  const DiskRestoreOptions& options, target::TargetSession& session, RestoreEvents& events,
                  const std::atomic<bool>& cancel, DiskProgress& progress, RestoreResult& result) {
  const disk::OutputDisk shape{checked_round_up<std::uint64_t>(disk.size_bytes, 512, "a disk's size"),
                               description_of(disk)};
  // Opened first: a map that cannot be read leaves nothing behind.
  DiskRestore restore(disk, options, session);
  const std::unique_ptr<disk::DiskWriter> writer = disk::create_disk(output, format, shape, options.force);
  SectorWriter out(*writer, shape.size_bytes);
  restore.run(out, events, cancel, progress);
  result.written_bytes += restore.written_bytes();
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
