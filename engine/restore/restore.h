// Restores: from a restore point in a target, with nothing of the controller's. A whole disk, a machine, a file or a
// directory. Nothing is overwritten unless told so; what is not complete is named .partial; what cannot be had right is
// not written, but named (DESIGN.md, invariant 10).
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/crack/cracker.h"
#include "engine/disk/disk_writer.h"
#include "protocol/session/target_session.h"
#include "protocol/file_index.h"
#include "protocol/point.h"

namespace vmferry::restore {

class RestoreEvents {
 public:
  virtual ~RestoreEvents() = default;
  virtual void phase(const std::string& name) { static_cast<void>(name); }
  virtual void progress(std::uint64_t done_bytes, std::uint64_t total_bytes) {
    static_cast<void>(done_bytes), static_cast<void>(total_bytes);
  }
  virtual void warning(const Warning& warning) { static_cast<void>(warning); }
};

struct RestoreResult {
  std::vector<std::filesystem::path> outputs;
  std::uint64_t files = 0, directories = 0;
  std::uint64_t written_bytes = 0, received_bytes = 0;
  std::uint64_t reused_bytes = 0;  // with resume: that were there already, and right
  std::uint64_t elapsed_ms = 0;
  // What is missing in the outputs, at most 1000 and then one that counts the others. Not empty: exit code 2.
  // Codes: "left_out" (pagefile.sys and its like: not in the backup), "unreadable" (the data cannot be had right),
  // "bad_name" (a name that a Unix file system cannot hold), "directory_loop", "too_deep", "reparse_points" and
  // "named_streams" (counted), "failed" and "damaged_range" (with keep_going), "disk_skipped" (a disk that the backup
  // left out).
  std::vector<Warning> warnings;
  // What is expected of every restore, for people: security descriptors, Zone.Identifier streams.
  std::vector<std::string> notes;
  // With keep_going: something in the store is broken. Exit code 4. A disk is never finished then: its output keeps
  // the name OUT.partial.
  bool damaged = false;
};

struct RestoreOptions {
  bool force = false;               // overwrite outputs (never a disk in use)
  bool keep_going = false;
  std::filesystem::path spool_directory;
  crack::SandboxLimits sandbox;
  std::size_t memory_bytes = 96u << 20;
};

struct DiskRestoreOptions : RestoreOptions {
  std::optional<disk::OutputFormat> format;  // nullopt: same
  std::optional<std::string> disk;           // one disk of a machine ("scsi0:1"): then `output` is a file
  // Goes on with what an interrupted restore to the same output left: what has the hash of the chunk that belongs there is
  // kept, everything else is fetched and written. Outputs that are finished are compared, and kept where they are right
  // (else Error{exists}). Where nothing is there, it is an ordinary restore.
  bool resume = false;
};

// A bare VMDK's point, or one disk: output is the file. A .vmx machine: output is a directory (made where it is not
// there, Error{exists} where it is not empty), and the restored .vmx names the disks that were written.
// Free space is checked first (Error{no_space}).
RestoreResult restore_machine(const RestorePoint& point, const std::filesystem::path& output,
                              const DiskRestoreOptions& options, target::TargetSession& session, RestoreEvents& events,
                              const std::atomic<bool>& cancel);

// [VOLUME]/PATH inside a point, resolved. VOLUME: a label or DISK.PARTITION; it may be left out where there is one
// cracked volume.
struct PathInPoint {
  std::string volume;  // empty: the only one
  std::string path;    // "" or "/": the root
};
// "C/Users" after the colon of NAME:... : "[VOLUME]/PATH" -> parts; "" -> nothing named (lists the volumes).
PathInPoint parse_path(std::string_view text);

struct VolumeRow {
  std::string name;         // "0.2": stable across points
  const PointDisk* disk = nullptr;
  const PointVolume* volume = nullptr;
};
std::vector<VolumeRow> volumes_of(const RestorePoint& point);
VolumeRow pick_volume(const RestorePoint& point, const std::string& volume);  // Error{not_found} lists what there is

struct ListRow {
  std::string path;         // UTF-8, '/' between parts
  NameEntry entry;
};
// The entry itself for a file; a directory's content; with recursive everything below it. In key order; short names and
// NTFS's own metadata files ($MFT ...) are left out.
void list_files(const RestorePoint& point, const PathInPoint& where, bool recursive, target::TargetSession& session,
                const std::function<void(const ListRow&)>& visit);

// Writes output/<last part of path> (of "/": the volume's label, else its name); a directory with all below it.
// Error{exists} where that is there already, unless force: then files are replaced, and directories merged. A new
// directory is named <last part>.partial until all is in it; so is each file until it is whole. Nothing is followed
// that lies in the output: a symbolic link there is an error. Times are the guest's (modified, accessed); modes are
// 0644 (0444: read-only) and 0755, less the umask. Links to one file become hard links again. The outputs are not
// synced to the disk, as with cp.
RestoreResult restore_files(const RestorePoint& point, const PathInPoint& where, const std::filesystem::path& output,
                            const RestoreOptions& options, target::TargetSession& session, RestoreEvents& events,
                            const std::atomic<bool>& cancel);

// One file's bytes, in order, zeros where it is sparse.
void cat_file(const RestorePoint& point, const PathInPoint& where, const RestoreOptions& options,
              target::TargetSession& session, const std::function<void(ByteView)>& use);

// verify --pull: every byte that the point names comes over and is checked here.
target::VerifyResult verify_by_pulling(const RestorePoint& point, const RestoreOptions& options,
                                       target::TargetSession& session, RestoreEvents& events,
                                       const std::atomic<bool>& cancel);

}  // namespace vmferry::restore
