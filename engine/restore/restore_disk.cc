#include "engine/restore/restore_disk.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "engine/restore/any_order.h"
#include "engine/restore/in_order.h"
#include "protocol/error.h"
#include "protocol/image_map.h"

namespace vmferry::restore {
namespace {

// A restore that was done when its process was killed, or a machine's disk before the one that it was killed in.
// Error{exists} where the disk is not what would be restored.
void keep_finished_disk(const PointDisk& disk, const std::filesystem::path& output, disk::OutputFormat format,
                        const DiskRestoreOptions& options, target::TargetSession& session, RestoreTally& tally,
                        RestoreResult& result) {
  try {
    const std::unique_ptr<disk::Disk> there = disk::open_disk(output);
    if (disk::same_format(there->description()) != format) throw OtherContent{};
    MapAhead map(disk, session.chunks());
    ChunkPipeline chunks(session, options.memory_bytes, ChunkPipeline::Order::of_arrival);
    const auto compared = compare_with(*there, disk.size_bytes, session.facts().domain_key);
    AnyOrderRestore(chunks, *compared, tally, options).run(map);
    for (const disk::DiskFile& file : there->files()) result.outputs.push_back(file.path);
    result.reused_bytes += tally.kept_bytes() + tally.written_bytes();  // found equal to what came
  } catch (const OtherContent&) {
    throw Error(ErrorCode::exists, "the output is there already, and is not what would be restored", output.string(),
                "--force overwrites it");
  }
}

void fill(disk::DiskWriter& writer, const PointDisk& disk, std::uint64_t output_bytes, const DiskRestoreOptions& options,
          target::TargetSession& session, MapAhead& map, RestoreTally& tally) {
  if (disk::PlacedContent* const placed = writer.placed()) {
    const auto output = write_to(*placed, disk.size_bytes, session.facts().domain_key);
    ChunkPipeline chunks(session, options.memory_bytes, ChunkPipeline::Order::of_arrival);
    return AnyOrderRestore(chunks, *output, tally, options).run(map);
  }
  SectorWriter sectors(writer, output_bytes);
  ChunkPipeline chunks(session, options.memory_bytes, ChunkPipeline::Order::of_use);
  InOrderRestore(chunks, sectors, tally).run(map);
}

void report_damage(const RestoreTally& tally, const PointDisk& disk, const std::filesystem::path& output,
                   RestoreEvents& events, RestoreResult& result) {
  result.damaged = true;
  for (const ByteRange& range : tally.damaged_ranges()) {
    Warning warning{"damaged_range", disk.key,
                    "bytes " + std::to_string(range.offset) + " to " + std::to_string(range.end()) +
                        " could not be had: " + output.string() + ".partial has zeros there: " + tally.damage()};
    events.warning(warning);
    result.warnings.push_back(std::move(warning));
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
  RestoreTally tally(disk, options.keep_going, events, cancel, progress);
  if (options.resume && !options.force && is_there(output))
    return keep_finished_disk(disk, output, format, options, session, tally, result);
  const disk::OutputDisk shape{checked_round_up<std::uint64_t>(disk.size_bytes, 512, "a disk's size"),
                               description_of(disk)};
  const bool was_begun = options.resume && is_there(disk::OutputFile::partial_path_of(output));
  // First: a map that cannot be read leaves nothing behind.
  MapAhead map(disk, session.chunks());
  const std::unique_ptr<disk::DiskWriter> writer =
      disk::create_disk(output, format, shape, {.overwrite = options.force, .resume = options.resume});
  if (was_begun && writer->placed() == nullptr)
    result.notes.push_back(disk.key + " was restored anew: of an unfinished disk in this format nothing can be kept (of "
                                      "flat and raw ones it can)");
  fill(*writer, disk, shape.size_bytes, options, session, map, tally);
  result.written_bytes += tally.written_bytes();
  result.reused_bytes += tally.kept_bytes();
  if (!tally.damage().empty()) return report_damage(tally, disk, output, events, result);
  writer->finish();
  result.outputs.insert(result.outputs.end(), writer->outputs().begin(), writer->outputs().end());
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
