#include "engine/backup/source.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include "engine/disk/vmx.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::backup {
namespace fs = std::filesystem;
namespace {

constexpr const char* snapshot_advice =
    "take a snapshot of the machine and back it up again (vmferry then reads the snapshot's parents), or shut it down";

// A writer shows within this time of the last write, or it is no writer that a look at the files could find. What it
// writes later is found at the end, by check_unchanged().
constexpr std::chrono::milliseconds watch_time{1000};

struct DiskPlace {
  std::string key;
  std::string file_name;
  fs::path path;
};

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

bool is_vmx_file(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".vmx";
}

bool contains(const std::vector<std::string>& list, const std::string& key) {
  return std::find(list.begin(), list.end(), key) != list.end();
}

// Waits until the newest of the files has not been written for watch_time, and throws where one changes meanwhile.
// A file that was last written long ago needs no waiting: the time since then was the watch.
void watch_for_writers(const std::vector<disk::DiskFile>& files) {
  std::int64_t newest = 0;
  for (const disk::DiskFile& file : files) newest = std::max(newest, file.modified_ns);
  const std::int64_t age = now_ns() - newest;
  const std::int64_t wanted = std::chrono::nanoseconds(watch_time).count();
  // A file server's clock may be ahead of ours: then its times say nothing, and the whole time is waited.
  const std::int64_t wait = age < 0 ? wanted : wanted - age;
  if (wait > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(wait));
  const auto changed = disk::changed_files(files);
  if (!changed.empty())
    throw Error(ErrorCode::refused, "the disk is being written", changed.front().string(), snapshot_advice);
}

bool is_independent(const disk::VmxDisk& disk) { return disk.mode.starts_with("independent"); }

}  // namespace

Source::Source(Source&&) noexcept = default;
Source::~Source() = default;

// Opens what `Source::open` found the path to be. One object per call.
class SourceOpener {
 public:
  SourceOpener(Source& source, const fs::path& path, const SourceOptions& options)
      : source_(source), path_(path), options_(options) {}

  void open() {
    if (is_vmx_file(path_))
      find_vmx_disks();
    else
      places_.push_back({"disk0", path_.filename().string(), path_});
    choose_disks();
    source_.kind_ = choose_kind();
    for (const DiskPlace& place : places_) open_disk(place);
    std::vector<disk::DiskFile> all;
    for (const SourceDisk& disk : source_.disks_) all.insert(all.end(), disk.disk->files().begin(), disk.disk->files().end());
    watch_for_writers(all);
    if (source_.is_vmx_) find_config_files();
    if (!source_.is_vmx_) source_.default_name_ = path_.stem().string();
  }

 private:
  void find_vmx_disks() {
    const disk::Vmx vmx = disk::Vmx::load(path_);
    source_.is_vmx_ = true;
    source_.default_name_ = vmx.display_name().empty() ? path_.stem().string() : vmx.display_name();
    source_.machine_uuid_ = vmx.bios_uuid();
    source_.suspended_ = vmx.suspended();
    if (const auto state = vmx.get("checkpoint.vmState"); state && !state->empty()) suspend_file_ = *state;
    for (const disk::VmxDisk& disk : vmx.disks()) {
      const fs::path named(disk.file_name);
      places_.push_back({disk.key, disk.file_name, named.is_absolute() ? named : path_.parent_path() / named});
      if (is_independent(disk)) independent_.insert(disk.key);
    }
    if (places_.empty()) throw Error(ErrorCode::not_found, "the machine has no disks", path_.string());
  }

  void choose_disks() {
    for (const auto* list : {&options_.only_disks, &options_.skip_disks})
      for (const std::string& key : *list)
        if (std::none_of(places_.begin(), places_.end(), [&](const DiskPlace& place) { return place.key == key; }))
          throw Error(ErrorCode::usage, "the machine has no such disk", key, "it has " + keys());
    std::erase_if(places_, [&](const DiskPlace& place) {
      const bool out = contains(options_.skip_disks, place.key) ||
                       (!options_.only_disks.empty() && !contains(options_.only_disks, place.key));
      if (out) source_.notes_.push_back(place.key + " (" + place.file_name + ") was left out, as asked");
      return out;
    });
    if (places_.empty()) throw Error(ErrorCode::usage, "no disk is left to back up", path_.string());
  }

  std::string keys() const {
    std::string all;
    for (const DiskPlace& place : places_) all += (all.empty() ? "" : ", ") + place.key;
    return all;
  }

  // All disks come from one instant: one that is locked makes the whole machine a running one.
  SourceKind choose_kind() {
    if (options_.mode == SourceMode::frozen) return SourceKind::frozen;
    for (const DiskPlace& place : places_) {
      const auto disk = open_checked(place, {});
      const auto locks = disk::locks_on(disk->files());
      if (locks.empty()) continue;
      if (options_.mode == SourceMode::off)
        throw Error(ErrorCode::refused, "the disk is in use", place.path.string(), locks.front() + "; " + snapshot_advice);
      lock_seen_ = locks.front();
      return SourceKind::frozen;
    }
    return SourceKind::off;
  }

  std::unique_ptr<disk::Disk> open_checked(const DiskPlace& place, const disk::OpenOptions& options) {
    try {
      return disk::open_disk(place.path, options);
    } catch (const Error& error) {
      if (!source_.is_vmx_) throw;
      throw Error(error.code(), "cannot back up " + place.key, place.path.string(),
                  std::string(error.what()) + "; --skip-disk " + place.key + " leaves it out");
    }
  }

  void open_disk(const DiskPlace& place) {
    if (source_.kind_ == SourceKind::off) {
      source_.disks_.push_back({place.key, place.file_name, open_checked(place, {})});
      return;
    }
    if (independent_.contains(place.key))
      throw Error(ErrorCode::refused, "the disk is independent, so no snapshot freezes it", place.path.string(),
                  "shut the machine down, or leave it out with --skip-disk " + place.key);
    try {
      source_.disks_.push_back({place.key, place.file_name, open_checked(place, {.parents_only = true})});
    } catch (const Error& error) {
      if (error.code() != ErrorCode::refused || lock_seen_.empty()) throw;
      throw Error(ErrorCode::refused, "the disk is in use", place.path.string(), lock_seen_ + "; " + snapshot_advice);
    }
    const auto locks = disk::locks_on(source_.disks_.back().disk->files());
    if (!locks.empty())
      throw Error(ErrorCode::refused, "the snapshot's parent is in use too", place.path.string(),
                  locks.front() + "; " + snapshot_advice);
    source_.notes_.push_back(place.key + ": the newest snapshot's parents were read");
  }

  void find_config_files() {
    add_file(path_);
    const disk::Vmx vmx = disk::Vmx::load(path_);
    if (const auto nvram = vmx.get("nvram"); nvram && !nvram->empty()) add_beside(*nvram);
    add_file(fs::path(path_).replace_extension(".vmsd"));
    if (!source_.suspended_) return;
    add_beside(suspend_file_);
    add_file((path_.parent_path() / fs::path(suspend_file_).filename()).replace_extension(".vmem"));
  }

  void add_beside(const std::string& name) { add_file(path_.parent_path() / fs::path(name).filename()); }

  void add_file(const fs::path& file) {
    std::error_code missing;
    if (!fs::is_regular_file(file, missing)) return;
    source_.files_.push_back({file.filename().string(), file, fs::file_size(file)});
  }

  Source& source_;
  fs::path path_;
  const SourceOptions& options_;
  std::vector<DiskPlace> places_;
  std::set<std::string> independent_;
  std::string suspend_file_;
  std::string lock_seen_;
};

Source Source::open(const fs::path& path, const SourceOptions& options) {
  std::error_code missing;
  if (!fs::exists(path, missing))
    throw Error(ErrorCode::not_found, "there is no such disk or machine", path.string(), "check the path");
  Source source;
  SourceOpener(source, path, options).open();
  return source;
}

void Source::check_unchanged() const {
  for (const SourceDisk& disk : disks_) {
    const auto changed = disk::changed_files(disk.disk->files());
    if (!changed.empty())
      throw Error(ErrorCode::refused, "the disk was written while it was backed up", changed.front().string(),
                  snapshot_advice);
  }
}

}  // namespace vmferry::backup
